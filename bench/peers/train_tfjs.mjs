// Times training steps of TensorFlow.js on its WebAssembly backend: "NET REPEATS" a line on stdin, one JSON answer a line on stdout.
//   npm install --prefix .tfjs @tensorflow/tfjs @tensorflow/tfjs-backend-wasm
//   NODE_PATH … node bench/peers/train_tfjs.mjs FOLDER_WITH_node_modules
// NET: mlp (784-300-100-10, batch 128) or cnn (three convolutions, batch 64: what its backend says to training a convolution).
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const folder = resolve(process.argv[2] ?? ".tfjs");
const require = createRequire(join(folder, "package.json"));
const log = console.log;
console.log = console.error; // its start-up messages
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(`${join(folder, "node_modules/@tensorflow/tfjs-backend-wasm/dist")}/`);
await tf.setBackend("wasm");
await tf.ready();

const variable = (shape, deviation) => tf.variable(tf.randomNormal(shape, 0, deviation, "float32", 1));
const nets = {
  mlp() {
    const sizes = [784, 300, 100, 10];
    const layers = sizes.slice(1).map((to, i) => [variable([sizes[i], to], sizes[i] ** -0.5), variable([to], 0)]);
    const x = tf.randomUniform([128, 784], -1, 1, "float32", 2);
    return {
      batch: 128,
      x,
      model: (v) => layers.reduce((h, [w, b], i) => (i < 2 ? tf.relu(h.matMul(w).add(b)) : h.matMul(w).add(b)), v),
    };
  },
  cnn() {
    const w = [variable([3, 3, 1, 16], 0.2), variable([3, 3, 16, 32], 0.1), variable([28 * 28 * 32, 10], 0.01)];
    const x = tf.randomUniform([64, 28, 28, 1], -1, 1, "float32", 2);
    return {
      batch: 64,
      x,
      model: (v) =>
        tf
          .relu(tf.relu(v.conv2d(w[0], 1, "same")).conv2d(w[1], 1, "same"))
          .reshape([64, -1])
          .matMul(w[2]),
    };
  },
};
const trainings = {};
function training(name) {
  trainings[name] ??= (() => {
    const { batch, x, model } = nets[name]();
    const target = tf
      .oneHot(
        tf.tensor1d(
          Array.from({ length: batch }, (_, i) => i % 10),
          "int32",
        ),
        10,
      )
      .toFloat();
    const optimizer = tf.train.momentum(0.01, 0.9);
    const step = () => {
      const loss = optimizer.minimize(() => tf.losses.softmaxCrossEntropy(target, model(x)), true);
      const [value] = loss.dataSync();
      loss.dispose();
      return value;
    };
    step();
    step();
    return step;
  })();
  return trainings[name];
}

log(JSON.stringify({ version: tf.version.tfjs }));
for await (const line of createInterface({ input: process.stdin })) {
  const [name, repeats] = line.split(" ");
  try {
    const step = training(name);
    const cpuMs = [];
    let loss = 0;
    for (let i = 0; i < Number(repeats); i++) {
      const start = process.cpuUsage();
      loss = step();
      const { user, system } = process.cpuUsage(start);
      cpuMs.push((user + system) / 1000);
    }
    log(JSON.stringify({ net: name, cpuMs, loss }));
  } catch (error) {
    log(JSON.stringify({ net: name, error: String(error.message).split("\n")[0] }));
  }
}
