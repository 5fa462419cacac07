import { expect, test } from "vitest";
import { type Manifest, quantizationSchema } from "../manifest.ts";
import { quantizationSection } from "./quantization.ts";

const trial = (name: string, divergence: number | null, kept = false) => ({ name, divergence, samples: 8, seconds: 1.26, kept });
const quantization: NonNullable<Manifest["quantization"]> = {
  recipe: "measured ranges, corrected biases",
  measure: "KL (nats)",
  divergence: 0.0123,
  trials: [trial("min-max <ranges>", 0.5), trial("broken", null), trial("measured ranges, corrected biases", 0.0123, true)],
  estimators: { "activation minmax": 3, "weight mse": 9 },
  saturating: null,
};
const layer = (node: string, divergence: number, share: number) => ({
  node,
  opType: "Conv",
  sqnr: 20,
  divergence,
  share,
  weightsOnly: null,
  activationsOnly: 0.25,
  samples: 16,
});
const render = (more: Partial<Manifest>): string =>
  quantizationSection({ quantization, sensitivity: [], withoutVnni: null, ...more } as Manifest).text;

test("without a search there is no section", () => {
  expect(render({ quantization: null })).toBe("");
});

test("shows every way that was tried, the kept one set off, and how often each estimator won", () => {
  const text = render({});
  expect(text).toContain("min-max &lt;ranges&gt;");
  expect(text).toContain("5.00e-1");
  expect(text).toContain("not finite");
  expect(text.match(/class="marked"/g)).toHaveLength(1);
  expect(text).toContain("weight mse: 9, activation minmax: 3");
  expect(text).not.toContain("Sensitivity");
  expect(text).not.toContain("VNNI");
});

test("a divergence that is no number survives being written and read", () => {
  expect(quantizationSchema.parse(JSON.parse(JSON.stringify(quantization)))).toEqual(quantization);
});

test("says which layers make most of the loss", () => {
  const text = render({ sensitivity: [layer("stem", 0.6, 0.6), layer("head", 0.3, 0.3), layer("rest", 0.1, 0.1)] });
  expect(text).toContain("These 2 of 3 layers cost 80 % of the loss");
  expect(text.indexOf(">stem<")).toBeLessThan(text.indexOf(">head<"));
  expect(text).toContain("60.0 %");
  expect(text).toContain("2.50e-1");
});

test("says what happens on processors without VNNI", () => {
  const none = render({ quantization: { ...quantization, saturating: [] } });
  expect(none).toContain("No layer does harm by saturating.");
  const some = render({
    quantization: { ...quantization, saturating: [{ node: "stem", share: 0.02, noise: 0.004, remedy: "uint8" }] },
    withoutVnni: { metric: "top-1", with: 81.25, without: 80.5, samples: 400 },
  });
  expect(some).toContain("top-1 with VNNI 81.25, without 80.50");
  expect(some).toContain("2.0 %");
  expect(some).not.toContain("No layer does harm");
});
