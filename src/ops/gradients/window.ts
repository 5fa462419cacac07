export interface WindowSettings {
  readonly strides: readonly number[] | undefined;
  readonly dilations?: readonly number[] | undefined;
  readonly pads: readonly number[] | undefined;
  readonly auto_pad: string;
}

/** Padding before each axis, then after each: as given, or what SAME_UPPER, SAME_LOWER and VALID stand for. */
export function explicitPads(
  spatial: readonly number[],
  kernel: readonly number[],
  { pads, auto_pad }: WindowSettings,
  strides: readonly number[],
  dilations: readonly number[],
): number[] {
  const none = new Array<number>(2 * spatial.length).fill(0);
  if (auto_pad === "NOTSET" || auto_pad === "") return [...(pads ?? none)];
  if (auto_pad === "VALID") return none;
  const totals = spatial.map((extent, i) => {
    const covered = ((kernel[i] as number) - 1) * (dilations[i] as number) + 1;
    const stride = strides[i] as number;
    return Math.max(0, (Math.ceil(extent / stride) - 1) * stride + covered - extent);
  });
  const small = totals.map((total) => Math.floor(total / 2));
  const large = totals.map((total, i) => total - (small[i] as number));
  return auto_pad === "SAME_UPPER" ? [...small, ...large] : [...large, ...small];
}
