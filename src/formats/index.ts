export * from "./onnx/index.ts";
export { type Chunk, chunkBytes } from "./protobuf/index.ts";
