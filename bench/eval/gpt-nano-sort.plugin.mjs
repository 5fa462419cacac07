/** Greedy decoding of a model that sorts six digits of {0, 1, 2}: every one of the 3^6 inputs is a sample. */

const length = 6;
const values = 3;

export default function plugin({ tensorOf, toFloat32, argmax }) {
  const digits = (index) => Array.from({ length }, (_, i) => Math.floor(index / values ** (length - 1 - i)) % values);

  return {
    async *samples() {
      for (let index = 0; index < values ** length; index++) {
        const unsorted = digits(index);
        yield {
          id: unsorted.join(""),
          origin: unsorted.join(" "),
          feeds: { prompt: tensorOf("int64", [1, length], unsorted) },
          target: { kind: "tokens", tokens: unsorted.toSorted() },
          geometry: {},
        };
      }
    },

    /** Appends the most likely next token until the sequence is whole; the model reads 11 positions and sees none to the right. */
    async run({ session, sample }) {
      const tokens = Array.from(sample.target.tokens, () => 0);
      const prompt = sample.origin.split(" ").map(Number);
      const generated = [];
      while (generated.length < tokens.length) {
        const known = [...prompt, ...generated];
        const row = Array.from({ length: 2 * length - 1 }, (_, i) => known[i] ?? 0);
        const outputs = await session.run({ tokens: tensorOf("int64", [1, row.length], row) });
        const logits = toFloat32(Object.values(outputs)[0]);
        const last = known.length - 1;
        generated.push(argmax(logits, last * values, (last + 1) * values));
      }
      return { tokens: tensorOf("int64", [1, length], generated) };
    },
  };
}
