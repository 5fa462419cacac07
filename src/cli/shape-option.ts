import { fail } from "../util/errors.ts";

export type ShapeFlags = Record<string, readonly (number | string)[]>;

/** `--shape name=1,3,224,224`, for commander; extents that are no numbers stay symbolic. May be given several times. */
export function parseShape(text: string, previous: ShapeFlags = {}): ShapeFlags {
  const equals = text.lastIndexOf("=");
  const dims = text
    .slice(equals + 1)
    .split(",")
    .map((dim) => dim.trim());
  if (equals < 1 || dims.some((dim) => !/^(\d+|[A-Za-z_]\w*)$/.test(dim)))
    fail("SHAPE_SYNTAX", `"${text}" is not a shape of an input.`, { hint: "Write it as name=1,3,224,224." });
  return { ...previous, [text.slice(0, equals)]: dims.map((dim) => (/^\d+$/.test(dim) ? Number(dim) : dim)) };
}
