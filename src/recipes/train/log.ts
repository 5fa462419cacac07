import { appendFile, readFile } from "node:fs/promises";
import type { StepReport } from "../../train/trainer.ts";
import { writeWhole } from "../workspace.ts";

/** One line of log.jsonl. */
export interface LogEntry {
  readonly step: number;
  readonly epoch: number;
  /** Mean training loss since the entry before. */
  readonly loss?: number;
  readonly learningRate?: number;
  readonly gradientNorm?: number;
  readonly samplesPerSecond?: number;
  readonly parts?: Readonly<Record<string, number>>;
  /** After an epoch. */
  readonly validation?: { readonly metric: string; readonly value: number; readonly unit: string };
}

const columns = ["step", "epoch", "loss", "learningRate", "gradientNorm", "samplesPerSecond"] as const;

/** The log of a run: every few steps one line, kept in memory for the report and on disk as JSONL while running, CSV at the end. */
export class TrainingLog {
  readonly entries: LogEntry[];
  readonly #path: string;

  private constructor(path: string, entries: LogEntry[]) {
    this.#path = path;
    this.entries = entries;
  }

  /** Goes on after `step`: later lines belong to steps that are run again. */
  static async open(path: string, step: number): Promise<TrainingLog> {
    const kept = step === 0 ? [] : (await readEntries(path)).filter((entry) => entry.step <= step);
    await writeWhole(path, kept.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
    return new TrainingLog(path, kept);
  }

  async add(entry: LogEntry): Promise<void> {
    this.entries.push(entry);
    await appendFile(this.#path, `${JSON.stringify(entry)}\n`);
  }

  async writeCsv(path: string): Promise<void> {
    const rows = this.entries.map((entry) =>
      [...columns.map((column) => entry[column] ?? ""), entry.validation?.metric ?? "", entry.validation?.value ?? ""].join(","),
    );
    await writeWhole(path, `${[...columns, "metric", "validation"].join(",")}\n${rows.join("\n")}\n`);
  }
}

async function readEntries(path: string): Promise<LogEntry[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    try {
      return line ? [JSON.parse(line) as LogEntry] : [];
    } catch {
      return []; // a line that was cut off when the process was killed
    }
  });
}

/** Means over the steps between two log lines. */
export class Window {
  #steps = 0;
  #loss = 0;
  #since = performance.now();

  add({ loss }: StepReport): void {
    this.#steps++;
    this.#loss += loss;
  }

  get steps(): number {
    return this.#steps;
  }

  /** The means, and a fresh start. */
  take(samplesPerStep: number): { readonly loss: number; readonly samplesPerSecond: number } {
    const seconds = (performance.now() - this.#since) / 1000;
    const means = { loss: this.#loss / this.#steps, samplesPerSecond: (this.#steps * samplesPerStep) / seconds };
    this.#steps = 0;
    this.#loss = 0;
    this.#since = performance.now();
    return means;
  }
}
