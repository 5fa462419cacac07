import { dirname } from "node:path";
import { z } from "zod";
import { fail } from "../../util/errors.ts";
import { checkClassIndex, findClassNames } from "../class-names.ts";
import { defineDataset, type Pixels } from "../define.ts";
import { openBytes } from "../files.ts";

const options = z.strictObject({
  /** 10: one label byte; 100: coarse and fine label bytes. */
  classes: z.union([z.literal(10), z.literal(100)]).optional(),
  /** Which of CIFAR-100's labels counts. */
  label: z.enum(["fine", "coarse"]).default("fine"),
});

const side = 32;
const planeBytes = side * side;
const imageBytes = 3 * planeBytes;
const record10 = imageBytes + 1;
const record100 = imageBytes + 2;

const names10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

function interleave(planes: Uint8Array): Pixels {
  const data = new Uint8Array(imageBytes);
  for (let channel = 0; channel < 3; channel++)
    for (let i = 0; i < planeBytes; i++) data[i * 3 + channel] = planes[channel * planeBytes + i] as number;
  return { data, width: side, height: side, channels: 3 };
}

const recordBytes = (size: number, classes: 10 | 100 | undefined, path: string): number => {
  const record = classes === 100 || (classes === undefined && size % record10 !== 0) ? record100 : record10;
  if (size === 0 || size % record !== 0)
    fail(
      "DATA_CORRUPT",
      `"${path}" has ${size} bytes, which is no whole number of CIFAR records (${record10} or ${record100} bytes).`,
      {
        subject: path,
        hint: "Fetch the file again: it is cut short or not in CIFAR's binary format.",
      },
    );
  return record;
};

/** CIFAR-10 and CIFAR-100 in their binary format (Krizhevsky 2009): label byte(s), then the red, green and blue planes. */
export const cifar = defineDataset({
  name: "cifar",
  summary: "CIFAR-10 or CIFAR-100 binary file (.bin, .bin.gz)",
  options,
  detect(facts) {
    if (facts.directory || !facts.name.endsWith(".bin")) return undefined;
    // the label byte of the first record, and pixels that are not all the same
    const coarse = facts.head[0];
    if (coarse === undefined || coarse > 19 || facts.head.length < record10) return undefined;
    return { confidence: 0.8, why: "is a .bin file that begins like a CIFAR record" };
  },
  async open(path, { classes: asked, label }) {
    const bytes = await openBytes(path);
    const record = recordBytes(bytes.size, asked, path);
    const at = record === record100 && label === "fine" ? 1 : 0;
    const count = record === record10 ? 10 : label === "fine" ? 100 : 20;
    const found = await findClassNames(dirname(path));
    const classes = found?.length === count ? found : count === 10 ? names10 : Array.from({ length: count }, (_, i) => String(i));
    return {
      summary: `${bytes.size / record} images of 32x32 in CIFAR-${record === record10 ? 10 : 100} format`,
      features: [{ kind: "image", name: "image" }],
      label: "class",
      classes,
      length: bytes.size / record,
      origin: (index) => `record ${index}`,
      async read(index) {
        const row = await bytes.slice(index * record, record);
        const origin = `record ${index}`;
        const value = row[at] as number;
        checkClassIndex(value, count, `${path} ${origin}`);
        return {
          origin,
          image: { kind: "pixels", pixels: interleave(row.subarray(record - imageBytes)) },
          label: { kind: "class", index: value },
        };
      },
    };
  },
});
