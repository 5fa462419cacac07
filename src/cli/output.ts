import { stripVTControlCharacters } from "node:util";
import type { z } from "zod";
import type { Progress, ProgressEvent, RunOptions } from "../util/progress.ts";
import { color } from "./color.ts";
import { interruptSignal } from "./interrupt.ts";

export { setExitCode } from "./exit.ts";

/** One JSON document on stdout, checked by its schema first: what scripts read must be what the schema promises. */
export function printJson(schema: z.ZodType, value: unknown): void {
  process.stdout.write(`${JSON.stringify(schema.parse(value), null, 2)}\n`);
}

export function printLine(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** A remark beside the result: on stderr, so that stdout stays clean. */
export function printNote(text: string): void {
  process.stderr.write(`${text}\n`);
}

export interface TableOptions {
  /** The first row is a heading; default true. */
  readonly header?: boolean;
  /** Per column; default: "right" where every cell below the heading starts with a digit or sign. */
  readonly align?: readonly ("left" | "right")[];
  /** Columns wider than this are cut with an ellipsis; default 60. */
  readonly maxWidth?: number;
  readonly indent?: string;
}

const visible = (text: string): number => stripVTControlCharacters(text).length;

const pad = (text: string, width: number, side: "left" | "right"): string => {
  const blank = " ".repeat(Math.max(0, width - visible(text)));
  return side === "right" ? blank + text : text + blank;
};

const numeric = /^$|^[-+−±~<>≤≥]?\s?\d|^—$|^–$|^-$/;

/** Columns aligned for a terminal; no trailing blanks or newline. */
export function table(rows: readonly (readonly string[])[], options: TableOptions = {}): string {
  const { header = true, maxWidth = 60, indent = "" } = options;
  const cut = (text: string) => (visible(text) > maxWidth ? `${text.slice(0, maxWidth - 1)}…` : text);
  const cells = rows.map((row) => row.map(cut));
  const columns = Math.max(0, ...cells.map((row) => row.length));
  const body = header ? cells.slice(1) : cells;
  const layout = Array.from({ length: columns }, (_, i) => ({
    width: Math.max(...cells.map((row) => visible(row[i] ?? ""))),
    side: options.align?.[i] ?? (body.length > 0 && body.every((row) => numeric.test(row[i] ?? "")) ? "right" : "left"),
  }));
  return cells
    .map((row, r) => {
      const line =
        indent +
        layout
          .map(({ width, side }, i) => pad(row[i] ?? "", width, side as "left"))
          .join("  ")
          .trimEnd();
      return header && r === 0 ? color.bold(line) : line;
    })
    .join("\n");
}

const significant = (n: number, digits = 3): string => {
  if (n === 0) return "0";
  // rounded first: 0.9996 has three digits as 1.00, not as 1.000
  const rounded = Number(n.toPrecision(digits));
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(rounded))));
  return rounded.toFixed(Math.min(decimals, 6));
};

const scaled = (n: number, step: number, units: readonly string[], separator: string): string => {
  let index = 0;
  let value = n;
  // 999.5 would print as "1000": move on to the next unit before it does
  while (Math.abs(value) >= step - 0.5 && index < units.length - 1) {
    value /= step;
    index++;
  }
  return `${index === 0 && Number.isInteger(value) ? value : significant(value)}${separator}${units[index]}`.trimEnd();
};

/** Decimal units, as disks and the ONNX world count: 13600000 is "13.6 MB". */
export const formatBytes = (n: number): string => scaled(n, 1000, ["B", "kB", "MB", "GB", "TB"], " ");

/** 3540000 is "3.54 M", 1200 is "1.20 k". */
export const formatCount = (n: number): string => scaled(n, 1000, ["", "k", "M", "G", "T"], " ");

/** Milliseconds in the unit a person would say: "840 µs", "18.2 ms", "1.50 s", "2 min 05 s". */
export function formatMs(n: number): string {
  const abs = Math.abs(n);
  if (abs === 0) return "0 ms";
  if (abs < 0.9995) return `${significant(n * 1000)} µs`;
  if (abs < 999.5) return `${significant(n)} ms`;
  if (abs < 59_950) return `${significant(n / 1000)} s`;
  const seconds = Math.round(n / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}

/** RunOptions with both parts present. */
export interface ActiveRun extends RunOptions {
  readonly signal: AbortSignal;
  readonly onProgress: Progress;
}

interface ProgressView {
  update(event: ProgressEvent): void;
  end(): void;
}

/** "calibrate 34/100 · 12 s left": what is known of a step under way. Shown only once an estimate means something. */
function describe(event: ProgressEvent, elapsedMs: number): string {
  const count = event.total === undefined ? (event.done > 0 ? ` ${event.done}` : "") : ` ${event.done}/${event.total}`;
  const estimable = event.total !== undefined && event.done > 0 && event.done < event.total && elapsedMs > 500;
  const left = estimable ? ` · ${formatMs((elapsedMs / event.done) * ((event.total as number) - event.done))} left` : "";
  return `${event.step}${count}${left}${event.detail ? ` · ${event.detail}` : ""}`;
}

/** Remembers when each step began, so that time left is that step's own. */
function stepClock(now: () => number): (event: ProgressEvent) => number {
  let step: string | undefined;
  let total: number | undefined;
  let done = 0;
  let start = now();
  return (event) => {
    if (event.step !== step || event.total !== total || event.done < done) start = now();
    step = event.step;
    total = event.total;
    done = event.done;
    return now() - start;
  };
}

function liveLine(label: string, stream: NodeJS.WriteStream): ProgressView {
  const elapsed = stepClock(Date.now);
  let drawn = 0;
  return {
    update(event) {
      const sinceStart = elapsed(event);
      const now = Date.now();
      // ten times a second is smooth to the eye and costs nothing
      if (now - drawn < 100 && event.done !== event.total) return;
      drawn = now;
      const text = `${label}: ${describe(event, sinceStart)}`;
      stream.write(`\r\u001b[K${color.dim(text.slice(0, (stream.columns || 80) - 1))}`);
    },
    end: () => void stream.write("\r\u001b[K"),
  };
}

/** For logs: nothing in the first two seconds, then a line when a step begins and every ten seconds. */
function plainLines(label: string, stream: NodeJS.WriteStream): ProgressView {
  const elapsed = stepClock(Date.now);
  const begin = Date.now();
  let step: string | undefined;
  let written = 0;
  return {
    update(event) {
      const sinceStart = elapsed(event);
      const now = Date.now();
      if (now - begin < 2000 || (event.step === step && now - written < 10_000)) return;
      step = event.step;
      written = now;
      stream.write(`${label}: ${describe(event, sinceStart)}\n`);
    },
    end: () => {},
  };
}

/**
 * Runs a long step with progress on stderr (a live line on a terminal, else plain lines) and Ctrl-C as `run.signal`.
 * EDGEWRIGHT_PROGRESS=off silences it.
 */
export async function withProgress<T>(label: string, work: (run: ActiveRun) => Promise<T>): Promise<T> {
  const signal = interruptSignal();
  if (process.env.EDGEWRIGHT_PROGRESS === "off") return work({ signal, onProgress: () => {} });
  const view = process.stderr.isTTY ? liveLine(label, process.stderr) : plainLines(label, process.stderr);
  try {
    return await work({ signal, onProgress: (event) => view.update(event) });
  } finally {
    view.end();
  }
}
