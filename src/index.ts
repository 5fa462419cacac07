export { EdgewrightError } from "./util/errors.ts";
export type { Progress, ProgressEvent, RunOptions } from "./util/progress.ts";
