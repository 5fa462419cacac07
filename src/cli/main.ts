import { readFileSync } from "node:fs";
import { exitCodes } from "./exit.ts";
import { overview } from "./overview.ts";
import { verbs } from "./verbs.ts";

const version = (): string =>
  (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;

async function unknownVerb(word: string): Promise<void> {
  const { nearest } = await import("./suggest.ts");
  const guess = nearest(word, Object.keys(verbs));
  process.stderr.write(`error: There is no verb '${word}'.\n`);
  process.stderr.write(`hint: ${guess ? `Did you mean '${guess}'? ` : ""}\`edgewright --help\` lists the verbs.\n`);
  process.exitCode = exitCodes.userError;
}

/** Runs one command line; never throws. The result is in `process.exitCode` once nothing is left to do. */
export async function main(args: readonly string[]): Promise<void> {
  const [first, ...rest] = args;
  if (first === undefined || first === "--help" || first === "-h" || (first === "help" && rest.length === 0)) {
    // without a verb there is nothing to do: the overview is then an answer to a mistake
    (first === undefined ? process.stderr : process.stdout).write(overview(version(), verbs));
    process.exitCode = first === undefined ? exitCodes.userError : exitCodes.done;
    return;
  }
  if (first === "--version" || first === "-V") {
    process.stdout.write(`${version()}\n`);
    return;
  }
  const [name, verbArgs] = first === "help" ? [rest[0] as string, ["--help"]] : [first, rest];
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (!verb) return unknownVerb(name);
  const { runVerb } = await import("./run-verb.ts");
  await runVerb(name, verb, verbArgs);
}
