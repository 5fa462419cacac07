import type { Manifest } from "../manifest.ts";
import { html, type Markup } from "./html.ts";

type Port = Manifest["model"]["inputs"][number];
const fixed = (port: Port): number[] => port.shape.map((dim) => (typeof dim === "number" ? dim : 1));
const arrays: Readonly<Record<string, string>> = {
  float32: "Float32Array",
  int64: "BigInt64Array",
  int32: "Int32Array",
  uint8: "Uint8Array",
  bool: "Uint8Array",
};

const feedOf = (port: Port): string => {
  const shape = fixed(port);
  const size = shape.reduce((a, b) => a * b, 1);
  return `"${port.name}": new ort.Tensor("${port.dtype}", new ${arrays[port.dtype] ?? "Float32Array"}(${size}), [${shape.join(", ")}])`;
};

function javascript(manifest: Manifest, module: string, source: string): string {
  return `import * as ort from "${module}";

const session = await ort.InferenceSession.create("${source}");
const results = await session.run({
  ${manifest.model.inputs.map(feedOf).join(",\n  ")},
});
console.log(results["${manifest.model.outputs[0]?.name ?? "output"}"].data);`;
}

const python = (manifest: Manifest): string => `import numpy as np
import onnxruntime as ort

session = ort.InferenceSession("model.onnx")
results = session.run(None, {
${manifest.model.inputs.map((port) => `    "${port.name}": np.zeros((${fixed(port).join(", ")},), np.${port.dtype === "bool" ? "bool_" : port.dtype}),`).join("\n")}
})
print(results[0])`;

/** Code that runs the chosen file, with the model's own input names and shapes; the preprocessing has to match. */
export function usageSection(manifest: Manifest): Markup {
  return html`<h2>Use the file</h2>
<p>Inputs must be preprocessed as they were here: <code>${JSON.stringify(manifest.data.preprocess)}</code></p>
<div class="columns"><div><h3>Node</h3><pre>${javascript(manifest, "onnxruntime-node", "model.onnx")}</pre></div>
<div><h3>Browser</h3><pre>${javascript(manifest, "onnxruntime-web/wasm", "/model.onnx")}</pre></div>
<div><h3>Python</h3><pre>${python(manifest)}</pre></div></div>`;
}
