import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EdgewrightError } from "../util/errors.ts";
import type { Command } from "./command-line.ts";
import { exitCodes } from "./exit.ts";
import { Interrupted } from "./interrupt.ts";
import { reportError, runVerb } from "./run-verb.ts";

let printed: string;
let before: typeof process.exitCode;
beforeEach(() => {
  printed = "";
  before = process.exitCode;
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    printed += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = before;
});

const report = (error: unknown): [typeof process.exitCode, string] => {
  reportError(error);
  return [process.exitCode, printed];
};

describe("errors at the end of a command", () => {
  it("prints an expected one as a sentence with its subject and hint", () => {
    const error = new EdgewrightError("X", "It holds NaN.", { subject: "conv1", hint: "Export it again." });
    expect(report(error)).toEqual([exitCodes.userError, "error: conv1: It holds NaN.\nhint: Export it again.\n"]);
  });

  it("does not name a subject twice", () => {
    const error = new EdgewrightError("X", 'Node "conv1" holds NaN.', { subject: "conv1" });
    expect(report(error)).toEqual([exitCodes.userError, 'error: Node "conv1" holds NaN.\n']);
  });

  it("blames a path that cannot be opened on the path", () => {
    let error: unknown;
    try {
      readFileSync("no/such/file");
    } catch (caught) {
      error = caught;
    }
    expect(report(error)).toEqual([exitCodes.userError, "error: Cannot use 'no/such/file': there is no such file or folder.\n"]);
  });

  it("prints our own bugs with their stack", () => {
    const [code, text] = report(new TypeError("x is undefined"));
    expect(code).toBe(exitCodes.bug);
    expect(text).toContain("TypeError: x is undefined\n    at ");
    expect(report("a string")[0]).toBe(exitCodes.bug);
  });

  it("is silent after Ctrl-C", () => {
    expect(report(new Interrupted())).toEqual([exitCodes.interrupted, ""]);
  });
});

describe("running a verb", () => {
  const verb = (configure: (command: Command) => void) => ({ summary: "test", load: async () => ({ configure }) });

  it("turns an action's failure into an exit code", async () => {
    await runVerb(
      "test",
      verb((command) => {
        command.argument("<n>").action((n: string) => {
          throw new EdgewrightError("BAD", `"${n}" is no number.`);
        });
      }),
      ["x"],
    );
    expect([process.exitCode, printed]).toEqual([exitCodes.userError, 'error: "x" is no number.\n']);
  });

  it("says how to get help after a usage error", async () => {
    await runVerb(
      "test",
      verb((command) => void command.argument("<n>")),
      [],
    );
    expect(process.exitCode).toBe(exitCodes.userError);
    expect(printed).toContain("error: missing required argument 'n'\nhint: `edgewright test --help`");
  });
});
