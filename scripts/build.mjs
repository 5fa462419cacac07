// Builds dist/: one bundle with code splitting for the library and the CLI (third-party packages stay imports), and type declarations.
//   node scripts/build.mjs [--no-types]
import { spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const inRoot = (...parts) => join(root, ...parts);
const manifest = JSON.parse(await readFile(inRoot("package.json"), "utf8"));

/** dist/<path>.js of each subpath export comes from src/<path>.ts. */
function libraryEntries() {
  const outputs = Object.values(manifest.exports).flatMap((entry) => (typeof entry === "string" ? [] : [entry.default]));
  return outputs.map((output) => output.replace(/^\.\/dist\/|\.js$/g, ""));
}

async function workerEntries() {
  const files = await readdir(inRoot("src"), { recursive: true });
  return files.filter((file) => file.endsWith(".worker.ts")).map((file) => file.replaceAll("\\", "/"));
}

/**
 * `new URL("./x.worker.ts", import.meta.url)` names a source file. Chunks lie elsewhere than their sources, so every output is put
 * exactly one folder deep and the URL is rewritten to ../workers/x.worker.js.
 */
const workerUrls = {
  name: "worker-urls",
  setup(pluginBuild) {
    pluginBuild.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const contents = text.replace(
        /new URL\(\s*"[^"]*?([\w-]+\.worker)\.ts"\s*,\s*import\.meta\.url\s*\)/g,
        'new URL("../workers/$1.js", import.meta.url)',
      );
      return { contents, loader: "ts" };
    });
  },
};

async function bundle() {
  const workers = await workerEntries();
  const entryPoints = [
    ...[...libraryEntries(), "cli/main"].map((path) => ({
      in: inRoot("src", `${path.replace(/^library\//, "")}.ts`),
      out: path,
    })),
    ...workers.map((file) => ({ in: inRoot("src", file), out: `workers/${file.split("/").at(-1).replace(/\.ts$/, "")}` })),
  ];
  const { metafile } = await build({
    entryPoints,
    metafile: true,
    absWorkingDir: root,
    outdir: inRoot("dist"),
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    packages: "external",
    chunkNames: "chunks/[name]-[hash]",
    sourcemap: "linked",
    sourcesContent: false,
    logLevel: "warning",
    plugins: [workerUrls],
  });
  return new Set(Object.keys(metafile.outputs));
}

/** Chunks of earlier builds go after the new ones are in place, so that a run that starts meanwhile finds all of its files. */
async function removeStale(outputs) {
  for (const file of await readdir(inRoot("dist"), { recursive: true })) {
    const path = `dist/${file.replaceAll("\\", "/")}`;
    if (/\.js(\.map)?$/.test(path) && !outputs.has(path)) await rm(inRoot(path), { force: true });
  }
}

/** Declarations only, without checking (that is `npm run types`): a second or two. */
function declarations() {
  const args = ["-p", "scripts/tsconfig.types.json"];
  const child = spawn(process.execPath, [inRoot("node_modules/typescript/bin/tsc"), ...args], { cwd: root, stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`tsc ended with code ${code}`))));
  });
}

const withTypes = !process.argv.includes("--no-types");
const [outputs] = await Promise.all([bundle(), withTypes ? declarations() : undefined]);
await removeStale(outputs);
