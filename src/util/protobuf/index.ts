export { decodeMessage, defineMessage, encodeMessage, field, type MessageType, type ProtoMessage } from "./message.ts";
export { ProtoReader } from "./reader.ts";
export { type Chunk, chunkBytes, joinChunks, type LazyBytes } from "./writer.ts";
