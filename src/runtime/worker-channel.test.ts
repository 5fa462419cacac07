import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loaderFor } from "./source-loader.ts";
import { workerRuntime } from "./stateful-worker.ts";
import { RuntimeChannel } from "./worker-channel.ts";

const script = (text: string) => new URL(`data:text/javascript,${encodeURIComponent(text)}`);
const onMessage = (action: string) =>
  script(`import { parentPort } from "node:worker_threads"; parentPort.on("message", ({ id, body }) => { ${action} });`);

describe("a runtime's thread that dies", () => {
  const deaths = {
    "by an exit": ["process.exit(7)", /has died: it ended with code 7/],
    "by an error that nobody catches": ["throw new Error('out of luck')", /has died: out of luck/],
  } as const;

  it.each(Object.entries(deaths))("%s fails what waits and what comes later", async (_, [action, message]) => {
    const channel = new RuntimeChannel(onMessage(`if (body.kind === "read") ${action}`));
    const waiting = [
      channel.ask({ kind: "start", executor: "ort-node" }),
      channel.ask({ kind: "read", states: ["w"] }),
      channel.ask({ kind: "release", program: 0 }),
    ];
    for (const call of waiting) await expect(call).rejects.toMatchObject({ code: "RUNTIME_DIED", message });
    await expect(channel.ask({ kind: "read", states: [] })).rejects.toMatchObject({
      code: "RUNTIME_DIED",
      hint: expect.stringContaining("states are lost"),
    });
    await channel.close();
  });

  it("while closing counts as closed", async () => {
    const channel = new RuntimeChannel(onMessage("process.exit(1)"));
    await channel.close();
    await expect(channel.ask({ kind: "read", states: [] })).rejects.toMatchObject({ code: "RUNTIME_CLOSED" });
  });
});

it("tells an expected failure from a bug", async () => {
  const reply = (failure: object) =>
    new RuntimeChannel(onMessage(`parentPort.postMessage({ id, body: { failure: ${JSON.stringify(failure)} } })`));
  const expected = reply({ code: "STATE_MISSING", message: "m", subject: "w", hint: "h" });
  await expect(expected.ask({ kind: "read", states: [] })).rejects.toMatchObject({
    name: "EdgewrightError",
    code: "STATE_MISSING",
    subject: "w",
    hint: "h",
  });
  const bug = reply({ message: "internal: no", stack: "Error: internal: no\n  at there" });
  await expect(bug.ask({ kind: "read", states: [] })).rejects.toMatchObject({ name: "Error", stack: /at there/ });
  await Promise.all([expected.close(), bug.close()]);
});

it("refuses an executor that does not exist", async () => {
  await expect(workerRuntime({ executor: "tfjs" as never })).rejects.toMatchObject({ code: "EXECUTOR_UNKNOWN" });
});

/** Runs a script against the sources in a process of its own; gives how it ended. */
function ended(text: string): Promise<{ code: number | null; signal: string | null; output: string }> {
  const home = new URL("./", import.meta.url);
  const child = spawn(
    process.execPath,
    [...loaderFor(new URL(import.meta.url)), "--input-type=module", "-e", text.replaceAll("@/", home.href)],
    { cwd: fileURLToPath(home), stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  return new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal, output })));
}

describe("a process with a runtime's thread", () => {
  const load = `
    import { workerRuntime } from "@/stateful-worker.ts";
    import { parseModel, float32Tensor } from "@/../ir/index.ts";
    import { encodeOnnx } from "@/../formats/index.ts";
    const runtime = await workerRuntime();
    const bytes = encodeOnnx(parseModel("square (float[600,600] w) => (float[600,600] y) { a = MatMul (w, w) y = MatMul (a, w) }"));
    const program = await runtime.load({ bytes, stateInputs: { w: "w" }, stateOutputs: { y: "w" } });
    await runtime.write({ w: float32Tensor([600, 600], new Float32Array(360000)) });`;

  // without the gate onnxruntime-node aborts: "terminate called after throwing an instance of 'Napi::Error'"
  it("may end in the middle of a run", async () => {
    const text = `${load}
      await program.run({});
      for (let i = 0; i < 40; i++) void program.run({});
      setTimeout(() => process.exit(5), 30);`;
    expect(await ended(text)).toEqual({ code: 5, signal: null, output: "" });
  });

  it("ends by itself when the runtime is idle and not closed", async () => {
    expect(await ended(`${load} await program.run({}); console.log("done");`)).toEqual({
      code: 0,
      signal: null,
      output: "done\n",
    });
  });

  it("waits for runs under way", async () => {
    const text = `${load} Promise.all([program.run({}), program.run({})]).then(() => console.log("both"));`;
    expect(await ended(text)).toEqual({ code: 0, signal: null, output: "both\n" });
  });
});
