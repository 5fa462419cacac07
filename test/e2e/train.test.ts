import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readSafetensors } from "../../src/formats/index.ts";
import { type Tensor, toNumbers } from "../../src/ir/index.ts";
import { loadModel } from "../../src/runtime/model-file.ts";
import { exampleData, exampleModel, inTemporaryFolder, root, runCli } from "./run-cli.ts";

const config = {
  model: { architecture: "cnn", classes: 10, channels: 3, resolution: 32, width: 0.25 },
  data: exampleData,
  epochs: 3,
  batch: 16,
  augment: [{ name: "horizontal-flip" }, { name: "random-crop", padding: 2 }],
  optimizer: { name: "adam", learningRate: 0.004 },
  checkpointSteps: 5,
};

const write = (folder: string, more: object = {}): string => {
  const path = join(folder, "train.json");
  writeFileSync(path, JSON.stringify({ ...config, ...more }));
  return path;
};
const weights = (out: string): Buffer =>
  Buffer.from(
    readSafetensors(new Uint8Array(readFileSync(join(out, "last.safetensors")))).tensors.parameters?.bytes() as Uint8Array,
  );

it("trains the example's shapes and writes model, logs and report", async () => {
  await inTemporaryFolder(async (folder) => {
    const out = join(folder, "out");
    const run = await runCli(["train", write(folder), "-o", out, "--json"]);
    expect(run.stderr).not.toMatch(/error/);
    expect(run.code).toBe(0);
    const manifest = JSON.parse(run.stdout);
    expect(manifest.best.value).toBeGreaterThan(50); // chance is about a tenth
    for (const name of ["model.onnx", "last.safetensors", "log.jsonl", "log.csv", "train.json", "report.html"])
      expect(existsSync(join(out, name)), name).toBe(true);
    const lines = readFileSync(join(out, "log.csv"), "utf8").trim().split("\n");
    expect(lines[0]).toBe("step,epoch,loss,learningRate,gradientNorm,samplesPerSecond,metric,validation");
    expect(lines.length).toBeGreaterThan(20);
    expect(readFileSync(join(out, "report.html"), "utf8")).toMatch(/<svg/);
    const evaluated = await runCli([
      "eval",
      join(out, "model.onnx"),
      "--data",
      exampleData,
      "--preprocess",
      "unit",
      "--no-check",
    ]);
    expect(evaluated.code).toBe(0);
  });
});

/** Starts a run and kills it without warning once its checkpoint has moved past `step`. */
function killAfter(args: readonly string[], log: string, step: number): Promise<void> {
  const child = spawn(process.execPath, [join(root, "bin/edgewright.js"), ...args], { stdio: "ignore" });
  const watch = setInterval(() => {
    const lines = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
    if (lines.length >= step) child.kill("SIGKILL");
  }, 5);
  return new Promise((done) => {
    child.on("exit", () => {
      clearInterval(watch);
      done();
    });
  });
}

it("a run that was killed goes on to the same weights, bit for bit", async () => {
  await inTemporaryFolder(async (folder) => {
    const path = write(folder);
    const [whole, broken] = [join(folder, "whole"), join(folder, "broken")];
    const args = (out: string): string[] => ["train", path, "-o", out];
    expect((await runCli(args(whole))).code).toBe(0);
    // the same formulations of gradients: they are chosen by time
    mkdirSync(broken);
    copyFileSync(join(whole, "tuning.json"), join(broken, "tuning.json"));
    await killAfter(args(broken), join(broken, "log.jsonl"), 7 + Math.floor(Math.random() * 60));
    const resumed = await runCli([...args(broken), "--resume"]);
    expect(resumed.stderr).not.toMatch(/error/);
    expect(resumed.code).toBe(0);
    expect(weights(broken).equals(weights(whole))).toBe(true);
  });
});

it("refuses to go on with other settings, and says what is wrong with a configuration", async () => {
  await inTemporaryFolder(async (folder) => {
    const out = join(folder, "out");
    expect((await runCli(["train", write(folder, { epochs: 1 }), "-o", out])).code).toBe(0);
    const other = await runCli(["train", write(folder, { epochs: 2 }), "-o", out, "--resume"]);
    expect(other.code).toBe(1);
    expect(other.stderr).toMatch(/belongs to a run with other settings/);
    const wrong = await runCli(["train", write(folder, { optimizer: { name: "adamm" } }), "-o", out]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/"optimizer/);
    const missing = await runCli(["train", write(folder, { model: { architecture: "resnet9" } }), "-o", out]);
    expect(missing.stderr).toMatch(/no architecture "resnet9"/);
  });
});

it("describes a run without running it", async () => {
  await inTemporaryFolder(async (folder) => {
    const run = await runCli(["train", write(folder, { frozen: ["block1.*"] }), "--dry-run", "--json"]);
    const overview = JSON.parse(run.stdout);
    expect(overview.frozen).toContain("block1.conv.weight");
    expect(overview.parameters.map(({ name }: { name: string }) => name)).toContain("head.weight");
    expect(overview.nodes.step).toBeGreaterThan(overview.nodes.forward);
  });
});

it("writes fresh models and lists what there is", async () => {
  await inTemporaryFolder(async (folder) => {
    const path = join(folder, "model.onnx");
    const made = await runCli([
      "new",
      "mobilenet-v2",
      "--classes",
      "5",
      "--width",
      "0.35",
      "--resolution",
      "96",
      "-o",
      path,
      "--json",
    ]);
    expect(made.code).toBe(0);
    expect(JSON.parse(made.stdout).parameters).toBeGreaterThan(300_000);
    expect((await runCli(["inspect", path])).code).toBe(0);
    const list = JSON.parse((await runCli(["new", "--list", "--json"])).stdout);
    expect(list.map(({ name }: { name: string }) => name)).toContain("ds-cnn");
    const wrong = await runCli(["new", "mobilnet", "-o", path]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/no architecture "mobilnet"/);
    const option = await runCli(["new", "resnet8", "--layers", "3", "-o", path]);
    expect(option.stderr).toMatch(/resnet8 has no option "layers"/);
  });
});

it("distills the example's classifier into a smaller one, from answers that are kept", async () => {
  await inTemporaryFolder(async (folder) => {
    const cache = join(folder, "logits.safetensors");
    const student = { model: { ...config.model, resolution: 48 }, preprocess: "symmetric", augment: [], epochs: 2 };
    const args = [
      "distill",
      write(folder, student),
      "--teacher",
      exampleModel,
      "--cache",
      cache,
      "-o",
      join(folder, "out"),
      "--json",
    ];
    const first = await runCli(args);
    expect(first.stderr).not.toMatch(/error/);
    const manifest = JSON.parse(first.stdout);
    expect(manifest.config.teacher.temperature).toBe(4);
    const { tensors } = readSafetensors(new Uint8Array(readFileSync(cache)));
    expect(tensors.logits?.shape).toEqual([manifest.samples.training, 10]);
    // the second run reads the answers and ends in the same weights
    const before = weights(join(folder, "out"));
    expect((await runCli(args)).code).toBe(0);
    expect(weights(join(folder, "out")).equals(before)).toBe(true);
    const noTeacher = await runCli(["distill", write(folder), "-o", join(folder, "out")]);
    expect(noTeacher.code).toBe(1);
    expect(noTeacher.stderr).toMatch(/no teacher to learn from/);
  });
});

it("matches a teacher's features through a projection that stays behind", async () => {
  await inTemporaryFolder(async (folder) => {
    const teacher = { model: exampleModel, features: [{ student: "Relu_out_7", teacher: "Relu_out_7" }] };
    const path = write(folder, {
      model: { ...config.model, resolution: 48 },
      preprocess: "symmetric",
      augment: [],
      epochs: 1,
      teacher,
    });
    const out = join(folder, "out");
    const run = await runCli(["train", path, "-o", out]);
    expect(run.stderr).not.toMatch(/error/);
    expect(readFileSync(join(out, "log.jsonl"), "utf8")).toMatch(/features:Relu_out_7/);
    const { initializers } = (await loadModel(join(out, "model.onnx"))).graph;
    expect([...initializers].map(({ name }) => name).filter((name) => name.includes("projection"))).toEqual([]);
    const wrong = write(folder, { teacher: { ...teacher, features: [{ student: "Relu_out_7", teacher: "nothing" }] } });
    expect((await runCli(["train", wrong, "-o", out])).stderr).toMatch(/has no value "nothing"/);
  });
});

it.each([
  ["int8", {}],
  ["4-bit weights with learned scales", { weightBits: 4, weightScale: "learned", activationRange: "learned" }],
])("trains quantization-aware to an integer model: %s", async (_, quantize) => {
  await inTemporaryFolder(async (folder) => {
    const out = join(folder, "out");
    const tuned = {
      model: exampleModel,
      preprocess: "symmetric",
      augment: [],
      epochs: 1,
      quantize,
      optimizer: { name: "sgd", learningRate: 0.001 },
    };
    const run = await runCli(["train", write(folder, tuned), "-o", out, "--json"]);
    expect(run.stderr).not.toMatch(/error/);
    expect(JSON.parse(run.stdout).best.value).toBeGreaterThan(90);
    const { graph } = await loadModel(join(out, "model.onnx"));
    const types = [...graph.nodes].map(({ opType }) => opType);
    expect(types.filter((type) => type === "QuantizeLinear").length).toBeGreaterThanOrEqual(4);
    expect(types).not.toContain("BatchNormalization");
    const weightsOf = [...graph.initializers].filter(({ constant }) => constant?.dtype === "int8" && constant.shape.length > 1);
    expect(weightsOf).toHaveLength(4);
    const most = "weightBits" in quantize ? 7 : 127;
    for (const { constant } of weightsOf)
      expect(toNumbers(constant as Tensor).every((value) => Math.abs(value) <= most)).toBe(true);
  });
});
