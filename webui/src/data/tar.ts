/** Reads a tar archive: names, kinds and contents. Enough for what the master packs; links are shown as empty files. */

export interface TarEntry {
  readonly path: string;
  readonly folder: boolean;
  readonly content: Uint8Array;
}

const BLOCK = 512;
const text = new TextDecoder();

export function readTar(bytes: Uint8Array): TarEntry[] {
  const out: TarEntry[] = [];
  let longName = "";
  for (let at = 0; at + BLOCK <= bytes.length; ) {
    const header = bytes.subarray(at, at + BLOCK);
    if (header.every((b) => b === 0)) break;
    const size = Number.parseInt(field(header, 124, 12).trim() || "0", 8) || 0;
    const type = String.fromCharCode(header[156] ?? 0);
    const content = bytes.subarray(at + BLOCK, at + BLOCK + size);
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (type === "L") longName = trimNul(text.decode(content));
    else if (type === "x") longName = paxPath(text.decode(content)) || longName;
    else if (type !== "g") {
      const prefix = field(header, 257, 5) === "ustar" ? field(header, 345, 155) : "";
      const path = longName || (prefix ? `${prefix}/` : "") + field(header, 0, 100);
      longName = "";
      out.push({ path: path.replace(/^\.\//, "").replace(/\/$/, ""), folder: type === "5", content });
    }
  }
  return out.filter((e) => e.path !== "" && e.path !== ".");
}

function field(header: Uint8Array, from: number, length: number): string {
  return trimNul(text.decode(header.subarray(from, from + length)));
}

function trimNul(s: string): string {
  const end = s.indexOf("\0");
  return end < 0 ? s : s.slice(0, end);
}

function paxPath(records: string): string {
  return /\d+ path=([^\n]*)\n/.exec(records)?.[1] ?? "";
}

/** The bytes that base64 stands for. */
export function fromBase64(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

/** Unpacks base64 of a gzipped tar. */
export async function unpack(base64: string): Promise<TarEntry[]> {
  const plain = new Blob([fromBase64(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return readTar(new Uint8Array(await new Response(plain).arrayBuffer()));
}
