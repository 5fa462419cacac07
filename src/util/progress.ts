/** One report of a long step: `done` of `total` (undefined: unknown), in the step's own units. */
export interface ProgressEvent {
  readonly step: string;
  readonly done: number;
  readonly total?: number | undefined;
  readonly detail?: string;
}
export type Progress = (event: ProgressEvent) => void;

/** What every long-running function takes: stop early by `signal` (it throws `signal.reason`), hear of progress. */
export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: Progress | undefined;
}
