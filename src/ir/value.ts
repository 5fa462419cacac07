import type { ForeignType, SparseTensor } from "./attribute.ts";
import type { Graph } from "./graph.ts";
import type { Node } from "./node.ts";
import type { TensorType } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** One place where a value is read: input `index` of `node`. */
export interface Use {
  readonly node: Node;
  readonly index: number;
}

/** An edge of the graph. Made by a graph (`graph.addInput`, `addInitializer`, `node`); names matter to files and people only. */
export class Value {
  /** Unique among all values of the model; change it with `graph.rename`. */
  name: string;
  /** The graph that defines this value (a subgraph's nodes may read values of the graphs around it). */
  readonly graph: Graph;
  /** Declared or inferred; undefined when unknown or not a dense tensor. */
  type: TensorType | undefined;
  /** Set when the value is an initializer. */
  constant: Tensor | undefined;
  sparse: SparseTensor | undefined;
  foreignType: ForeignType | undefined;
  /** The file's encoded TypeProto where it says more than `type` can (denotations of dimensions); written back while it agrees with `type`. */
  encodedType: Uint8Array | undefined;
  producer: Node | undefined;
  readonly uses = new Set<Use>();
  /** Facts that are written to the file (metadata_props and doc_string of its ValueInfo). */
  metadata: Map<string, string> | undefined;
  docString: string | undefined;

  constructor(graph: Graph, name: string, type?: TensorType, constant?: Tensor) {
    this.graph = graph;
    this.name = name;
    this.type = type;
    this.constant = constant;
  }

  get isGraphInput(): boolean {
    return this.graph.inputs.includes(this);
  }

  get isGraphOutput(): boolean {
    return this.graph.outputs.includes(this);
  }

  /** The only node that reads this value; undefined when there are none or several reads, or it is a graph output. */
  get soleConsumer(): Node | undefined {
    if (this.uses.size !== 1 || this.isGraphOutput) return undefined;
    for (const use of this.uses) return use.node;
    return undefined;
  }
}
