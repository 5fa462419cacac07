/** What the shell learns. */
export const exitCodes = {
  done: 0,
  /** A mistake in the call or the input; the message says the way out. */
  userError: 1,
  /** `optimize` could not meet the budget; the best result is written all the same. */
  budgetNotMet: 2,
  /** Our bug: printed with its stack. */
  bug: 70,
  /** Stopped by Ctrl-C (128 + SIGINT, as shells count). */
  interrupted: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Decides how the process ends once it has nothing left to do. */
export function setExitCode(code: ExitCode): void {
  process.exitCode = code;
}
