import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, extname, join, normalize, sep } from "node:path";
import { type Browser, chromium } from "playwright-core";

const candidates = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
export const chromiumPath = candidates.find((path): path is string => Boolean(path && existsSync(path)));

/** CI installs a browser, so there its absence fails. */
export const noBrowser = !chromiumPath && process.env.CI !== "true";

export const launchBrowser = (): Promise<Browser> => {
  if (!chromiumPath) throw new Error("no Chromium found; install one or set CHROMIUM_PATH");
  // --no-sandbox: as root, Chromium's own sandbox cannot start
  return chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox"] });
};

export const ortWebFolder = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

export interface FileServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves folders under their prefixes, isolated across origins: WASM threads need shared memory. */
export async function serveFiles(folders: Readonly<Record<string, string>>): Promise<FileServer> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    const prefix = Object.keys(folders).find((candidate) => path.startsWith(candidate));
    const folder = prefix === undefined ? undefined : (folders[prefix] as string);
    const file = folder && normalize(join(folder, path.slice((prefix as string).length)));
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    if (path === "/") {
      response.setHeader("Content-Type", "text/html");
      response.end("<!doctype html><title>edgewright</title>");
    } else if (file?.startsWith(normalize(folder as string) + sep) && existsSync(file)) {
      response.setHeader("Content-Type", types[extname(file)] ?? "application/octet-stream");
      createReadStream(file).pipe(response);
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
