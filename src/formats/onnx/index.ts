export { checkLocation, type ExternalReader, type OpenExternal } from "./external.ts";
export { type ReadOptions, readOnnx } from "./read.ts";
export {
  encodeOnnx,
  type FileChunks,
  maxEmbeddedBytes,
  type OnnxFile,
  type WriteOptions,
  wantsExternalData,
  writeOnnx,
} from "./write.ts";
