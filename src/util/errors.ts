/** How serious a failure is decides the exit code: a user's mistake is 1, a budget that could not be met is 2. */
export interface ErrorDetails {
  /** File, node or value that the message is about. */
  readonly subject?: string;
  /** The next action, as one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * An expected failure: bad input, a limit, a missing tool. Printed without a stack; anything else is our own bug.
 * `code` is stable (`ONNX_TRUNCATED`); `message` is one sentence that quotes the offending piece.
 */
export class EdgewrightError extends Error {
  readonly code: string;
  readonly subject: string | undefined;
  readonly hint: string | undefined;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "EdgewrightError";
    this.code = code;
    this.subject = details.subject;
    this.hint = details.hint;
  }
}

export function fail(code: string, message: string, details: ErrorDetails = {}): never {
  throw new EdgewrightError(code, message, details);
}

/** For states that only a bug of ours can reach; prints a stack. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`);
}
