import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { encodeSafetensors, readSafetensors } from "../../formats/safetensors.ts";
import type { Tensor } from "../../ir/index.ts";
import type { Position } from "../../train/trainer.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { writeWhole } from "../workspace.ts";

/** All that a run needs to go on as if it had never stopped. */
export interface Checkpoint {
  readonly position: Position;
  readonly states: Readonly<Record<string, Tensor>>;
  /** Best validation so far. */
  readonly best: { readonly epoch: number; readonly value: number } | undefined;
  /** Of the settings that decide the result; a run with others must not go on from here. */
  readonly configDigest: string;
}

/** Digest of the settings that decide what a run computes; where it writes and how often is left out. */
export function configDigest(config: Readonly<Record<string, unknown>>): string {
  const { output: _, checkpointSteps: __, ...deciding } = config;
  return createHash("sha256").update(JSON.stringify(deciding)).digest("hex").slice(0, 16);
}

export const writeCheckpoint = (path: string, { position, states, best, configDigest: digest }: Checkpoint): Promise<void> =>
  writeWhole(
    path,
    encodeSafetensors({
      tensors: states,
      metadata: {
        format: "edgewright-checkpoint-1",
        epoch: String(position.epoch),
        step: String(position.step),
        config: digest,
        ...(best ? { best: JSON.stringify(best) } : {}),
      },
    }),
  );

/** Reads a checkpoint. Throws CHECKPOINT_FOREIGN where it belongs to another configuration. */
export async function readCheckpoint(path: string, expectedDigest: string): Promise<Checkpoint> {
  const { tensors, metadata } = readSafetensors(new Uint8Array(await readFile(path)));
  if (metadata.format !== "edgewright-checkpoint-1")
    throw new EdgewrightError("CHECKPOINT_FORMAT", `"${path}" is no checkpoint of Edgewright.`, { subject: path });
  if (metadata.config !== expectedDigest)
    throw new EdgewrightError("CHECKPOINT_FOREIGN", `"${path}" belongs to a run with other settings.`, {
      subject: path,
      hint: "Resume with the same configuration, or train anew into another folder.",
    });
  return {
    position: { epoch: Number(metadata.epoch), step: Number(metadata.step) },
    states: tensors,
    best: metadata.best ? (JSON.parse(metadata.best) as Checkpoint["best"]) : undefined,
    configDigest: expectedDigest,
  };
}
