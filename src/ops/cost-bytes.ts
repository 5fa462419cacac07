import { byteLength, numel } from "../ir/index.ts";
import type { StaticInfo } from "./define.ts";

/** Bytes that a tensor occupies; strings count as nothing, their length is not in the type. */
export const bytesOf = (info: StaticInfo | undefined): number => (info ? byteLength(info.dtype, numel(info.shape)) : 0);
