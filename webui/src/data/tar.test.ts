import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { unpack } from "./tar.ts";

test("what a real tar packs is read: folders, long names, and contents", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tar-"));
  try {
    const long = `${"deep/".repeat(30)}${"n".repeat(90)}.py`;
    mkdirSync(join(folder, "in", long, ".."), { recursive: true });
    writeFileSync(join(folder, "in", "train.py"), "print('é')\n");
    writeFileSync(join(folder, "in", long), "x");
    for (const format of ["gnu", "pax", "ustar"]) {
      const wide = format === "ustar" ? ["train.py"] : ["."];
      execFileSync("tar", ["czf", join(folder, "a.tgz"), `--format=${format}`, "-C", join(folder, "in"), ...wide]);
      const entries = await unpack(readFileSync(join(folder, "a.tgz")).toString("base64"));
      const byPath = new Map(entries.map((e) => [e.path, e]));
      assert.equal(new TextDecoder().decode(byPath.get("train.py")!.content), "print('é')\n");
      if (format !== "ustar") {
        assert.equal(byPath.get(long)!.content.length, 1);
        assert.equal(byPath.get("deep")!.folder, true);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
