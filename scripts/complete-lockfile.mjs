// Adds to package-lock.json the optional packages of other platforms that npm left out.
//
// npm drops an optional package from the lock file when its registry could not serve it, and `npm ci` then refuses the lock file
// ("Missing: @biomejs/cli-darwin-arm64@ from lock file") on every machine. Each such package is pinned to one exact version by the
// package that offers it, and its name says for which platform it is, so the entry can be written without the registry.
//   node scripts/complete-lockfile.mjs [--check]
import { readFile, rename, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const path = fileURLToPath(new URL("../package-lock.json", import.meta.url));
const lock = JSON.parse(await readFile(path, "utf8"));

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const processors = ["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "wasm32", "x64"];

function platformOf(name) {
  const words = name.split(/[/.-]/).map((word) => ({ gnueabihf: "gnu", musleabihf: "musl", eabi: "" })[word] ?? word);
  const os = systems.filter((system) => words.includes(system) || (system === "linux" && words.includes("linuxmusl")));
  const cpu = processors.filter((processor) => words.includes(processor));
  if (os.length + cpu.length === 0) return undefined;
  const libc = words.includes("musl") ? ["musl"] : words.includes("gnu") ? ["glibc"] : undefined;
  return { ...(os.length ? { os } : {}), ...(cpu.length ? { cpu } : {}), ...(libc ? { libc } : {}) };
}

/** As Node resolves: in the package's own node_modules, then in every folder above it. */
function isLocked(from, name) {
  for (let folder = from; ; folder = folder.slice(0, folder.lastIndexOf("/node_modules/"))) {
    if (lock.packages[`${folder ? `${folder}/` : ""}node_modules/${name}`]) return true;
    if (!folder.includes("/node_modules/")) return folder !== "" && Boolean(lock.packages[`node_modules/${name}`]);
  }
}

const added = [];
for (const [folder, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isLocked(folder, name)) continue;
    const platform = platformOf(name);
    if (!platform || !/^\d/.test(version))
      throw new Error(`${name}@${version} of ${folder} is not in the lock file and names no platform`);
    lock.packages[`node_modules/${name}`] = { version, ...platform, ...(entry.dev ? { dev: true } : {}), optional: true };
    added.push(name);
  }
}

if (added.length > 0 && process.argv.includes("--check")) {
  console.error(`package-lock.json lacks ${added.join(", ")}; run node scripts/complete-lockfile.mjs`);
  process.exitCode = 1;
} else if (added.length > 0) {
  const sorted = Object.keys(lock.packages).sort((a, b) => (a < b ? -1 : 1));
  lock.packages = Object.fromEntries(sorted.map((key) => [key, lock.packages[key]]));
  await writeFile(`${path}.tmp`, `${JSON.stringify(lock, null, 2)}\n`);
  await rename(`${path}.tmp`, path);
  console.log(`added ${added.length} packages: ${added.join(", ")}`);
}
