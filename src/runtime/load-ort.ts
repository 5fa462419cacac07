import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Version of the installed onnxruntime-node package. */
export const ortNodeVersion = (): string => (require("onnxruntime-node/package.json") as { version: string }).version;
