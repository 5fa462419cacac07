/**
 * Minimum cut by Dinic's algorithm (1970). Vertices 0 and 1 are source and sink. Cuts of these graphs are found in a few phases, because
 * paths from source to sink are short.
 */
export class FlowGraph {
  readonly #to: number[] = [];
  readonly #capacity: number[] = [];
  readonly #arcs: number[][] = [[], []];

  addVertex(): number {
    return this.#arcs.push([]) - 1;
  }

  /** Capacity forth and back. */
  connect(from: number, to: number, forth: number, back = 0): void {
    (this.#arcs[from] as number[]).push(this.#to.length);
    this.#to.push(to);
    this.#capacity.push(forth);
    (this.#arcs[to] as number[]).push(this.#to.length);
    this.#to.push(from);
    this.#capacity.push(back);
  }

  /** True for vertices on the source's side of the minimum cut; where several cuts are minimal, that side is the largest one. */
  cut(): boolean[] {
    for (;;) {
      const levels = this.#levels();
      if (levels[1] === -1) break;
      const next = new Array<number>(this.#arcs.length).fill(0);
      while (this.#augment(levels, next));
    }
    return this.#cannotReachSink();
  }

  #levels(): number[] {
    const levels = new Array<number>(this.#arcs.length).fill(-1);
    levels[0] = 0;
    const queue = [0];
    for (const vertex of queue)
      for (const arc of this.#arcs[vertex] as number[]) {
        const to = this.#to[arc] as number;
        if ((this.#capacity[arc] as number) <= 0 || levels[to] !== -1) continue;
        levels[to] = (levels[vertex] as number) + 1;
        queue.push(to);
      }
    return levels;
  }

  /** One path from source to sink along rising levels, without recursion: graphs may be deep. */
  #augment(levels: readonly number[], next: number[]): boolean {
    const path: number[] = [];
    let vertex = 0;
    while (vertex !== 1) {
      const arc = (this.#arcs[vertex] as number[])[next[vertex] as number];
      if (arc === undefined) {
        if (vertex === 0) return false;
        const back = path.pop() as number;
        vertex = this.#to[back ^ 1] as number;
        next[vertex] = (next[vertex] as number) + 1;
        continue;
      }
      const to = this.#to[arc] as number;
      if ((this.#capacity[arc] as number) > 0 && levels[to] === (levels[vertex] as number) + 1) {
        path.push(arc);
        vertex = to;
      } else next[vertex] = (next[vertex] as number) + 1;
    }
    const flow = Math.min(...path.map((arc) => this.#capacity[arc] as number));
    for (const arc of path) {
      this.#capacity[arc] = (this.#capacity[arc] as number) - flow;
      this.#capacity[arc ^ 1] = (this.#capacity[arc ^ 1] as number) + flow;
    }
    return true;
  }

  #cannotReachSink(): boolean[] {
    const apart = new Array<boolean>(this.#arcs.length).fill(true);
    apart[1] = false;
    const queue = [1];
    for (const vertex of queue)
      for (const arc of this.#arcs[vertex] as number[]) {
        const from = this.#to[arc] as number;
        if (!apart[from] || (this.#capacity[arc ^ 1] as number) <= 0) continue;
        apart[from] = false;
        queue.push(from);
      }
    return apart;
  }
}
