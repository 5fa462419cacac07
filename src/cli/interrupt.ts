/** What `signal.reason` is after Ctrl-C, so that the end of the process can tell it from a failure. */
export class Interrupted extends Error {
  constructor() {
    super("Interrupted.");
    this.name = "Interrupted";
  }
}

let controller: AbortController | undefined;

/**
 * Aborts at the first Ctrl-C (or SIGTERM), so that work under way can be brought to a clean end; the second one ends the
 * process at once. The handlers are installed on first use only: a verb that never asks for the signal dies as usual.
 */
export function interruptSignal(): AbortSignal {
  if (!controller) {
    const created = new AbortController();
    controller = created;
    const onSignal = (signal: NodeJS.Signals) => {
      if (created.signal.aborted) process.exit(signal === "SIGINT" ? 130 : 143);
      process.stderr.write("\nStopping; press Ctrl-C again to stop without waiting.\n");
      created.abort(new Interrupted());
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  }
  return controller.signal;
}

export const isInterrupted = (): boolean => controller?.signal.aborted ?? false;
