export { type Chunk, chunkBytes } from "../util/protobuf/index.ts";
export * from "./onnx/index.ts";
export * from "./safetensors.ts";
