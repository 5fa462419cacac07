import { EdgewrightError } from "../util/errors.ts";
import { Command, CommanderError } from "./command-line.ts";
import { exitCodes } from "./exit.ts";
import { Interrupted, isInterrupted } from "./interrupt.ts";
import type { Verb } from "./verbs.ts";

/** File system failures that an argument of the user's can cause. */
const systemErrors: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  EISDIR: "it is a folder, a file is needed",
  ENOTDIR: "a part of the path is not a folder",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EMFILE: "too many files are open",
};

interface SystemError extends Error {
  readonly code: string;
  readonly path?: string;
  readonly syscall?: string;
}

const isSystemError = (error: unknown): error is SystemError =>
  error instanceof Error && "syscall" in error && "code" in error && Object.hasOwn(systemErrors, String(error.code));

function printExpected(message: string, subject: string | undefined, hint: string | undefined): void {
  process.stderr.write(`error: ${subject && !message.includes(subject) ? `${subject}: ` : ""}${message}\n`);
  if (hint) process.stderr.write(`hint: ${hint}\n`);
}

/** Prints an error and decides the exit code: expected ones as a sentence, everything else as our bug with its stack. */
export function reportError(error: unknown): void {
  if (error instanceof Interrupted || (isInterrupted() && error instanceof Error && error.name === "AbortError")) {
    process.exitCode = exitCodes.interrupted;
  } else if (error instanceof EdgewrightError) {
    printExpected(error.message, error.subject, error.hint);
    process.exitCode = exitCodes.userError;
  } else if (isSystemError(error)) {
    printExpected(`Cannot use '${error.path ?? error.syscall}': ${systemErrors[error.code]}.`, undefined, undefined);
    process.exitCode = exitCodes.userError;
  } else {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const cause = error instanceof Error && error.cause ? `\ncaused by: ${String(error.cause)}` : "";
    process.stderr.write(`edgewright has a bug; please report it with this text.\n${stack}${cause}\n`);
    process.exitCode = exitCodes.bug;
  }
}

/** Errors that no promise of ours carries (native callbacks, emitters) end the process the same way. */
function catchStrays(): void {
  const end = (error: unknown) => {
    reportError(error);
    process.exit();
  };
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
  // a closed pipe (`edgewright … | head`) is the reader's wish, not a failure
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => (error.code === "EPIPE" ? process.exit() : end(error)));
}

/** Loads one verb's file, parses its arguments and runs it; never throws. */
export async function runVerb(name: string, verb: Verb, args: readonly string[]): Promise<void> {
  catchStrays();
  const command = new Command(name)
    .exitOverride()
    .showSuggestionAfterError(true)
    .showHelpAfterError(`hint: \`edgewright ${name} --help\` shows arguments, options and an example.`)
    .configureOutput({ outputError: (text, write) => write(text) });
  // commander writes "Usage: <parent> <name>" only for a parent it knows
  new Command("edgewright").addCommand(command);
  try {
    (await verb.load()).configure(command);
    await command.parseAsync(args as string[], { from: "user" });
  } catch (error) {
    // commander has printed its message or the help text already
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.userError;
    else reportError(error);
  }
}
