import { EdgewrightError } from "../util/errors.ts";
import type { Dataset } from "./dataset.ts";

const corruptCodes = new Set(["DATA_IMAGE", "DATA_AUDIO", "DATA_NOT_FINITE", "DATA_CORRUPT"]);

/** Whether an error means that one sample is broken, in data that were opened to leave such samples out. */
export const isSkippable = (error: unknown, dataset: Pick<Dataset, "onCorrupt">): error is EdgewrightError =>
  error instanceof EdgewrightError && dataset.onCorrupt === "skip" && corruptCodes.has(error.code);
