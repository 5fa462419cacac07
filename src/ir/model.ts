import type { Attribute } from "./attribute.ts";
import { cloneGraph } from "./clone.ts";
import type { Graph } from "./graph.ts";

/** A model-local function (ONNX FunctionProto); its body is a graph whose inputs and outputs have no types. */
export interface ModelFunction {
  readonly domain: string;
  readonly name: string;
  readonly overload: string;
  readonly graph: Graph;
  readonly attributeNames: readonly string[];
  readonly attributeDefaults: ReadonlyMap<string, Attribute>;
  readonly opsets: ReadonlyMap<string, number>;
  readonly docString: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
}

export interface ModelInit {
  readonly graph: Graph;
  readonly irVersion?: number;
  readonly opsets?: ReadonlyMap<string, number>;
}

export class Model {
  graph: Graph;
  irVersion: number;
  /** Operator set version by domain; "" is the ONNX standard domain ("ai.onnx" is folded into it). */
  opsets: Map<string, number>;
  functions: ModelFunction[] = [];
  metadata = new Map<string, string>();
  producerName = "";
  producerVersion = "";
  domain = "";
  modelVersion: number | bigint = 0;
  docString = "";
  /** Fields that the reader does not model (training_info, device configuration, …), as encoded fields to be written back. */
  unknownFields: Uint8Array = new Uint8Array();

  constructor({ graph, irVersion = 10, opsets = new Map([["", 21]]) }: ModelInit) {
    this.graph = graph;
    this.irVersion = irVersion;
    this.opsets = new Map(opsets);
  }

  /** Version of the standard operator set. */
  get opset(): number {
    return this.opsets.get("") ?? 0;
  }

  /** A deep copy of nodes and values; tensors are shared. */
  clone(): Model {
    const copy = new Model({ graph: cloneGraph(this.graph), irVersion: this.irVersion, opsets: this.opsets });
    copy.functions = this.functions.map((f) => ({ ...f, graph: cloneGraph(f.graph) }));
    copy.metadata = new Map(this.metadata);
    copy.producerName = this.producerName;
    copy.producerVersion = this.producerVersion;
    copy.domain = this.domain;
    copy.modelVersion = this.modelVersion;
    copy.docString = this.docString;
    copy.unknownFields = this.unknownFields;
    return copy;
  }
}
