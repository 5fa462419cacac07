import type { DatasetAdapter } from "../define.ts";
import { audio } from "./audio.ts";
import { cifar } from "./cifar.ts";
import { coco } from "./coco.ts";
import { csv } from "./csv.ts";
import { idx } from "./idx.ts";
import { imageFolder } from "./image-folder.ts";
import { imagePairs } from "./image-pairs.ts";
import { npy } from "./npy.ts";
import { text } from "./text.ts";
import { tokens } from "./tokens.ts";

/** Every kind of data that can be opened. */
export const adapters: readonly DatasetAdapter[] = [imageFolder, coco, imagePairs, csv, text, tokens, idx, cifar, npy, audio];
