import type { Model } from "../ir/index.ts";
import { runPass } from "../passes/manager.ts";
import { upgradeOpset } from "../passes/upgrade-opset/index.ts";
import { EdgewrightError } from "../util/errors.ts";

/**
 * A copy of a model at the working opset, which op records describe: shapes and costs are taken from it. A model that cannot be
 * upgraded comes back as it is.
 */
export async function atWorkingOpset(model: Model): Promise<Model> {
  const upgraded = model.clone();
  try {
    await runPass(upgradeOpset, upgraded, {}, () => Promise.reject(new Error("internal: an upgrade evaluates nothing")));
    return upgraded;
  } catch (error) {
    if (!(error instanceof EdgewrightError)) throw error;
    return model;
  }
}
