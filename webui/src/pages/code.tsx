/** The files that the trials run. */

import { experiments } from "../data/api.ts";
import { fromBase64, type TarEntry, unpack } from "../data/tar.ts";
import { size } from "../format.ts";
import { query, setQuery } from "../router.ts";
import { Card, Empty, Icon, Load } from "../ui/parts.tsx";
import { save } from "../ui/save.ts";
import { Code } from "./config.tsx";
import type { TabProps } from "./experiment.tsx";
import { useFetched } from "./useFetched.ts";

const MOST_SHOWN = 1_000_000;

export function CodeTab({ info }: TabProps) {
  const [files, again] = useFetched(async () => {
    const { b64Tgz } = await experiments.code(info.id);
    return { b64Tgz, all: b64Tgz ? await unpack(b64Tgz) : [] };
  }, [info.id]);
  return (
    <div class="body">
      <Card>
        <Load of={files} again={again}>
          {({ b64Tgz, all }) =>
            all.some((f) => !f.folder) ? (
              <Files
                all={all}
                download={() => save(`experiment-${info.id}-code.tar.gz`, fromBase64(b64Tgz), "application/gzip")}
              />
            ) : (
              <NoFiles />
            )
          }
        </Load>
      </Card>
    </div>
  );
}

function NoFiles() {
  return (
    <Empty title="This experiment has no files">
      <p>
        Files come with <code>det experiment create config.yaml FOLDER</code>.
      </p>
    </Empty>
  );
}

function Files({ all, download }: { all: readonly TarEntry[]; download: () => void }) {
  const files = all.filter((f) => !f.folder).sort((a, b) => a.path.localeCompare(b.path));
  const entry =
    files.find((f) => f.path === query.value.get("file")) ?? files.find((f) => /^[^/]+\.py$/.test(f.path)) ?? files[0]!;
  return (
    <div class="files">
      <nav aria-label="Files">
        <ul class="tree">
          {withFolders(files).map((row) =>
            row.folder ? (
              <li key={`${row.path}/`} class="folder" style={{ paddingLeft: `${10 + 14 * row.depth}px` }}>
                <Icon name="folder" size={14} /> {row.name}
              </li>
            ) : (
              <li key={row.path}>
                <button
                  type="button"
                  style={{ paddingLeft: `${10 + 14 * row.depth}px` }}
                  aria-current={row.path === entry.path}
                  onClick={() => setQuery({ file: row.path })}
                >
                  <Icon name="file" size={14} /> {row.name}
                </button>
              </li>
            ),
          )}
        </ul>
      </nav>
      <div class="file">
        <div class="card-head">
          <h2>{entry.path}</h2>
          <span class="note">{size(entry.content.length)}</span>
          <div class="grow" />
          <button type="button" class="btn small" onClick={download}>
            Download all
          </button>
        </div>
        <Content entry={entry} />
      </div>
    </div>
  );
}

function Content({ entry }: { entry: TarEntry }) {
  if (entry.content.length > MOST_SHOWN) return <p class="note">This file is too long to be shown here.</p>;
  if (entry.content.subarray(0, 8000).includes(0)) return <p class="note">This file is not text.</p>;
  return <Code text={new TextDecoder().decode(entry.content)} copy />;
}

interface TreeRow {
  path: string;
  name: string;
  depth: number;
  folder: boolean;
}

/** Files in order, with a row for each folder before its first file. */
function withFolders(files: readonly TarEntry[]): TreeRow[] {
  const out: TreeRow[] = [];
  const seen = new Set<string>();
  for (const { path } of files) {
    const parts = path.split("/");
    for (let depth = 0; depth < parts.length - 1; depth++) {
      const folder = parts.slice(0, depth + 1).join("/");
      if (seen.has(folder)) continue;
      seen.add(folder);
      out.push({ path: folder, name: parts[depth]!, depth, folder: true });
    }
    out.push({ path, name: parts.at(-1)!, depth: parts.length - 1, folder: false });
  }
  return out;
}
