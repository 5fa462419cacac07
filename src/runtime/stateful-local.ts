import { Tensor } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { Executor, Session, SessionOptions } from "./executor.ts";
import type { LoadedProgram, StatefulProgram, StatefulRuntime } from "./stateful.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/**
 * Programs with states on any executor, in this thread. What is called runs in the order of the calls, one at a time, whether or not the
 * caller awaits in between. Runs in browsers; in Node a training step blocks the thread (see `workerRuntime`).
 */
export const localRuntime = (executor: Executor): StatefulRuntime => new LocalRuntime(executor);

class LocalRuntime implements StatefulRuntime {
  readonly name: string;
  readonly version: string;
  readonly #executor: Executor;
  readonly #states = new StateStore();
  readonly #sessions = new Set<Session>();
  #lastCall: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(executor: Executor) {
    this.#executor = executor;
    this.name = executor.name;
    this.version = executor.version;
  }

  load(program: StatefulProgram, options?: SessionOptions): Promise<LoadedProgram> {
    return this.#inTurn(async () => {
      const session = await this.#executor.load(program.bytes, options);
      try {
        checkBindings(program, session);
      } catch (error) {
        await session.release();
        throw error;
      }
      this.#sessions.add(session);
      return {
        run: (feeds, outputs) => this.#inTurn(() => this.#run(session, program, feeds, outputs)),
        release: () => this.#inTurn(() => this.#release(session)),
      };
    });
  }

  read(states: readonly string[]): Promise<Tensors> {
    return this.#inTurn(async () => Object.fromEntries(states.map((name) => [name, copyOf(this.#states.get(name))])));
  }

  write(states: Tensors): Promise<void> {
    return this.#inTurn(async () => {
      for (const [name, tensor] of Object.entries(states)) this.#states.write(name, tensor);
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const released = this.#inTurn(async () => {
      for (const session of [...this.#sessions]) await this.#release(session);
      this.#states.clear();
    });
    this.#closed = true;
    await released;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(closedError());
    const result = this.#lastCall.then(work);
    this.#lastCall = result.catch(() => undefined);
    return result;
  }

  async #release(session: Session): Promise<void> {
    if (this.#sessions.delete(session)) await session.release();
  }

  async #run(session: Session, program: StatefulProgram, feeds: Tensors, outputs?: readonly string[]): Promise<Tensors> {
    if (!this.#sessions.has(session))
      throw new EdgewrightError("PROGRAM_RELEASED", "The program was run after its release.", { hint: "Load it again." });
    const { stateInputs, stateOutputs } = program;
    const wanted = outputs ?? session.outputNames.filter((name) => !Object.hasOwn(stateOutputs, name));
    checkNames(session, feeds, stateInputs, wanted);
    const all = [...new Set([...wanted, ...Object.keys(stateOutputs)])];
    const results = await session.run(this.#withStates(feeds, stateInputs), all, this.#reusable(session, program));
    for (const [output, state] of Object.entries(stateOutputs))
      this.#states.moveOn(state, results[output] as Tensor, session.writesInto);
    // a state's bytes will be written over by a later run
    return Object.fromEntries(
      wanted.map((name) => {
        const value = results[name] as Tensor;
        return [name, Object.hasOwn(stateOutputs, name) ? copyOf(value) : value];
      }),
    );
  }

  #withStates(feeds: Tensors, stateInputs: StatefulProgram["stateInputs"]): Tensors {
    const states = Object.entries(stateInputs).map(([input, state]) => [input, this.#states.get(state)]);
    return { ...feeds, ...Object.fromEntries(states) };
  }

  /** Memory for new states. Only for states of one static shape, as the program's own inputs show. */
  #reusable(session: Session, { stateInputs, stateOutputs }: StatefulProgram): Tensors {
    if (!session.writesInto) return {};
    const fixed = new Set(
      session.inputs
        .filter(({ type }) => type.shape?.every((dim) => typeof dim === "number"))
        .map(({ name }) => stateInputs[name]),
    );
    const spares = Object.entries(stateOutputs).flatMap(([output, state]) => {
      const spare = fixed.has(state) && this.#states.takeSpare(state);
      return spare ? [[output, spare] as const] : [];
    });
    return Object.fromEntries(spares);
  }
}

/**
 * Values of states. A run cannot write over a state that it reads, so each state has a second tensor, its value before last, which the next
 * run writes to. Tensors that came from outside are never written to.
 */
class StateStore {
  readonly #values = new Map<string, Tensor>();
  readonly #spares = new Map<string, Tensor>();
  readonly #ours = new WeakSet<Tensor>();

  get(name: string): Tensor {
    const value = this.#values.get(name);
    if (value) return value;
    throw new EdgewrightError("STATE_MISSING", `The state "${name}" is read before it was written.`, {
      subject: name,
      hint: `Write it first; written so far: ${[...this.#values.keys()].join(", ") || "none"}.`,
    });
  }

  write(name: string, value: Tensor): void {
    this.#values.set(name, value);
    this.#spares.delete(name);
  }

  moveOn(name: string, value: Tensor, keepOld: boolean | undefined): void {
    const old = this.#values.get(name);
    this.#values.set(name, value);
    this.#ours.add(value);
    if (keepOld && old && old.dtype !== "string" && this.#ours.has(old)) this.#spares.set(name, old);
    else this.#spares.delete(name);
  }

  takeSpare(name: string): Tensor | undefined {
    const spare = this.#spares.get(name);
    this.#spares.delete(name);
    return spare;
  }

  clear(): void {
    this.#values.clear();
    this.#spares.clear();
  }
}

export const closedError = (): EdgewrightError =>
  new EdgewrightError("RUNTIME_CLOSED", "The runtime was used after it was closed.");

/** A tensor of the same elements in memory of its own. */
export const copyOf = (tensor: Tensor): Tensor =>
  // not slice(): Node's Buffer makes a view of it
  new Tensor(tensor.dtype, tensor.shape, new Uint8Array(tensor.bytes()), tensor.strings ? { strings: tensor.strings } : {});

function checkBindings({ stateInputs, stateOutputs }: StatefulProgram, session: Session): void {
  const inputs = session.inputs.map(({ name }) => name);
  requireNames("input", Object.keys(stateInputs), inputs);
  requireNames("output", Object.keys(stateOutputs), session.outputNames);
  const states = Object.values(stateOutputs);
  const twice = states.find((state, i) => states.indexOf(state) < i);
  if (twice !== undefined)
    throw new EdgewrightError("STATE_BINDING", `Two outputs of the program give the state "${twice}".`, { subject: twice });
}

function checkNames(session: Session, feeds: Tensors, stateInputs: StatefulProgram["stateInputs"], outputs: readonly string[]) {
  const open = session.inputs.map(({ name }) => name).filter((name) => !Object.hasOwn(stateInputs, name));
  requireNames("open input", Object.keys(feeds), open);
  requireNames("output", outputs, session.outputNames);
  const unfed = open.find((name) => !Object.hasOwn(feeds, name));
  if (unfed !== undefined)
    throw new EdgewrightError("FEED_MISSING", `The input "${unfed}" is no state and was not fed.`, { subject: unfed });
}

function requireNames(what: string, names: readonly string[], known: readonly string[]): void {
  const wrong = names.find((name) => !known.includes(name));
  if (wrong === undefined) return;
  throw new EdgewrightError("PROGRAM_NAMES", `The program has no ${what} "${wrong}".`, {
    subject: wrong,
    hint: `Known here: ${known.join(", ") || "none"}.`,
  });
}
