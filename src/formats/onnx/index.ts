export type { ExternalReader, OpenExternal } from "./external.ts";
export { type ReadOptions, readOnnx } from "./read.ts";
export {
  encodeOnnx,
  type FileChunks,
  type OnnxFile,
  type WriteOptions,
  wantsExternalData,
  writeOnnx,
} from "./write.ts";
