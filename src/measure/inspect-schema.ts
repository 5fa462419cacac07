import { z } from "zod";

const dim = z.union([z.number(), z.string()]);

/** A graph input or output: dtype null where it is no dense tensor (see `kind`), shape null where not even the rank is known. */
const portSchema = z.object({
  name: z.string(),
  kind: z.enum(["tensor", "sequence", "map", "optional", "sparse", "opaque", "unknown"]),
  dtype: z.string().nullable(),
  shape: z.array(dim).nullable(),
});

/** One node of the outermost graph, in execution order. Costs are of one run with the shapes said in `costShapes`. */
const layerSchema = z.object({
  name: z.string(),
  opType: z.string(),
  inputShapes: z.array(z.array(dim).nullable()),
  outputShapes: z.array(z.array(dim).nullable()),
  macs: z.number(),
  flops: z.number(),
  /** Bytes read and written, weights included. */
  bytes: z.number(),
  parameters: z.number(),
  /** Shares of the whole model, 0 to 1. */
  macsShare: z.number(),
  parametersShare: z.number(),
});

export const inspectWarningCodes = [
  "UNKNOWN_OPS",
  "INVALID",
  "WEIGHTS_NOT_A_NUMBER",
  "WEIGHTS_INFINITE",
  "WEIGHTS_ALL_ZERO",
  "DYNAMIC_DIMS",
  "OLD_OPSET",
  "NOT_UPGRADED",
  "INITIALIZERS_AS_INPUTS",
  "UNUSED_INITIALIZERS",
  "UNUSED_NODES",
  "UNKNOWN_SHAPES",
  "UNKNOWN_COSTS",
] as const;

export const inspectWarningSchema = z.object({
  code: z.enum(inspectWarningCodes),
  /** One sentence. */
  message: z.string(),
  /** Nodes, values or ops that it is about; at most 20 of them. */
  subjects: z.array(z.string()),
});

/** What `edgewright inspect --json` prints. */
export const inspectSchema = z.object({
  model: z.object({
    /** null for a model in memory. */
    path: z.string().nullable(),
    /** Model file and external data together. */
    bytes: z.number(),
    /** SHA-256 of the model file, hex. */
    digest: z.string(),
    opset: z.number(),
    opsets: z.record(z.string(), z.number()),
    irVersion: z.number(),
    producer: z.string(),
  }),
  inputs: z.array(portSchema),
  outputs: z.array(portSchema),
  /** Subgraphs included. */
  nodes: z.number(),
  /** Elements of weights: constant tensors without scalars and int64 or bool constants (shapes, axes). */
  parameters: z.number(),
  macs: z.number(),
  flops: z.number(),
  bytesMoved: z.number(),
  /** By liveness over execution order, nothing in place; without weights. */
  peakActivationBytes: z.number(),
  /** Name of the node that runs at the peak. */
  peakActivationNode: z.string().nullable(),
  /** Input shapes that costs and memory are stated for. */
  costShapes: z.record(z.string(), z.array(dim)),
  opTypes: z.record(z.string(), z.number()),
  layers: z.array(layerSchema),
  warnings: z.array(inspectWarningSchema),
});
export type Inspection = z.infer<typeof inspectSchema>;
export type InspectWarning = z.infer<typeof inspectWarningSchema>;
export type InspectLayer = Inspection["layers"][number];
