import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { prefetch } from "./prefetch.ts";

/** Counts what is asked for, and whether it was closed. */
function counted(count: number, failAt = Number.POSITIVE_INFINITY) {
  const state = { made: 0, closed: false };
  async function* items() {
    try {
      for (let i = 0; i < count; i++) {
        if (i === failAt) throw new Error(`item ${i} is broken`);
        state.made++;
        yield i;
        await Promise.resolve();
      }
    } finally {
      state.closed = true;
    }
  }
  return { state, items: items() };
}

describe("prefetch", () => {
  it.each([0, 1, 2, 5, 100])("gives all items in order, %i ahead", async (ahead) => {
    const seen: number[] = [];
    for await (const item of prefetch(counted(20).items, { ahead })) seen.push(item);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
  it("prepares up to `ahead` items while the consumer works, and no more", async () => {
    const { state, items } = counted(20);
    for await (const item of prefetch(items, { ahead: 3 })) {
      await pause(5);
      expect(state.made).toBe(Math.min(20, item + 1 + 3));
      if (item === 6) break;
    }
    expect(state.closed).toBe(true);
    const made = state.made;
    await pause(5);
    expect(state.made).toBe(made);
  });
  it("throws an error where its item would have been", async () => {
    const { state, items } = counted(20, 4);
    const seen: number[] = [];
    const run = async () => {
      for await (const item of prefetch(items, { ahead: 3 })) {
        seen.push(item);
        await pause(2);
      }
    };
    await expect(run()).rejects.toThrow("item 4 is broken");
    expect(seen).toEqual([0, 1, 2, 3]);
    expect(state.closed).toBe(true);
  });
  it("leaves no rejection unobserved when the consumer stops before an error", async () => {
    const unobserved: unknown[] = [];
    const hear = (reason: unknown) => unobserved.push(reason);
    process.on("unhandledRejection", hear);
    for await (const _ of prefetch(counted(20, 2).items, { ahead: 4 })) {
      await pause(5);
      break;
    }
    await pause(5);
    process.off("unhandledRejection", hear);
    expect(unobserved).toEqual([]);
  });
  it("stops at once when aborted, even while the source hangs", async () => {
    const controller = new AbortController();
    const hanging: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), return: () => new Promise(() => {}) }),
    };
    const run = (async () => {
      for await (const _ of prefetch(hanging, { signal: controller.signal })) expect.fail("nothing can come");
    })();
    controller.abort(new Error("enough"));
    await expect(run).rejects.toThrow("enough");
    const aborted = prefetch(counted(3).items, { signal: controller.signal });
    await expect(aborted.next()).rejects.toThrow("enough");
  });
});
