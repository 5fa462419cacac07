import { Model } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { cnn, lenet5, lenet300, resnet8, resnet20 } from "./classic.ts";
import { dsCnn, efficientnetLite, shufflenetV2, squeezenet } from "./compact.ts";
import type { Architecture } from "./define.ts";
import { mobilenetV1, mobilenetV2, mobilenetV3Large, mobilenetV3Small } from "./mobile.ts";
import { Net } from "./net.ts";
import { bert, gpt } from "./transformers.ts";

/** Every architecture, by family. */
export const architectures = [
  lenet300,
  lenet5,
  cnn,
  resnet8,
  resnet20,
  mobilenetV1,
  mobilenetV2,
  mobilenetV3Small,
  mobilenetV3Large,
  squeezenet,
  shufflenetV2,
  efficientnetLite,
  dsCnn,
  bert,
  gpt,
] as unknown as readonly Architecture[];

export function findArchitecture(name: string): Architecture {
  const found = architectures.find((architecture) => architecture.name === name);
  if (found) return found;
  throw new EdgewrightError("ARCHITECTURE_UNKNOWN", `There is no architecture "${name}".`, {
    subject: name,
    hint: `Choose one of: ${architectures.map((architecture) => architecture.name).join(", ")}.`,
  });
}

/**
 * A model of an architecture with fresh weights: symbolic batch "N", opset 21, output "logits".
 *
 * @param options completed by the architecture's defaults. @param seed decides the initial weights.
 * @throws ARCHITECTURE_UNKNOWN, ARCHITECTURE_OPTIONS naming the option.
 */
export function buildModel(name: string, options: Readonly<Record<string, unknown>> = {}, seed = 0): Model {
  const architecture = findArchitecture(name);
  const parsed = architecture.options.safeParse(options);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const option = issue?.path.join(".") || "options";
    throw new EdgewrightError("ARCHITECTURE_OPTIONS", `${name} does not take this ${option}: ${issue?.message}.`, {
      subject: option,
      hint: "edgewright new --list shows architectures, edgewright new ARCHITECTURE --help their options.",
    });
  }
  const net = new Net(name, seed);
  const logits = architecture.build(net, parsed.data);
  net.graph.rename(logits, "logits");
  net.graph.addOutput(logits);
  const model = new Model({ graph: net.graph });
  model.producerName = "edgewright";
  return model;
}
