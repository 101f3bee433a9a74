// Bundles the web UI into a folder of files with hashed names. Usage: node build.mjs [--watch] [--out FOLDER]
import { cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: { watch: { type: "boolean", default: false }, out: { type: "string" } },
});
const out = resolve(values.out ?? join(here, "..", "determined", "webui_static"));
const made = `${out}.new`;

/** Writes index.html, which names the hashed files, and then puts the whole folder in place at once. */
async function finish(result) {
  const files = Object.entries(result.metafile.outputs);
  const named = (match) => relative(made, resolve(here, files.find(match)[0]));
  const script = named(([, o]) => o.entryPoint === "src/main.tsx");
  const style = named(([, o]) => o.entryPoint === "style.css");
  const font = named(([path]) => path.endsWith(".woff2"));
  const shared = result.metafile.outputs[relative(here, join(made, script))].imports
    .filter((i) => i.kind === "import-statement")
    .map((i) => `<link rel="modulepreload" href="/${relative(made, resolve(here, i.path))}">`);
  const page = await readFile(join(here, "index.html"), "utf8");
  const filled = page
    .replace("%SCRIPT%", `/${script}`)
    .replace("%STYLE%", `/${style}`)
    .replace("%FONT%", `/${font}`)
    .replace("%SHARED%", shared.join(""));
  await writeFile(join(made, "index.html"), filled);
  await cp(join(here, "icon.svg"), join(made, "assets", "icon.svg"));
  await rm(out, { recursive: true, force: true });
  await rename(made, out);
  console.log(`web UI: ${files.length} files in ${basename(out)}`);
}

const options = {
  absWorkingDir: here,
  entryPoints: ["src/main.tsx", "style.css"],
  entryNames: "assets/[name]-[hash]",
  chunkNames: "assets/[name]-[hash]",
  assetNames: "assets/[name]-[hash]",
  outdir: made,
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  loader: { ".woff2": "file" },
  publicPath: "/",
  minify: !values.watch,
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
  plugins: [{ name: "finish", setup: (build) => build.onEnd((r) => (r.errors.length ? undefined : finish(r))) }],
};

await rm(made, { recursive: true, force: true });
await mkdir(made, { recursive: true });
if (values.watch) await (await esbuild.context(options)).watch();
else await esbuild.build(options).catch(() => process.exit(1));
