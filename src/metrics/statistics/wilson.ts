/** Standard normal quantile at 0.975. */
const z95 = 1.959963984540054;

/** Wilson's score interval for a proportion (Wilson 1927): right near 0 and 1 too, where ±2 standard errors is not. */
export function wilsonInterval(successes: number, n: number, z = z95): readonly [number, number] {
  if (n === 0) return [0, 1];
  const p = successes / n;
  const center = p + (z * z) / (2 * n);
  const spread = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  const scale = 1 + (z * z) / n;
  return [Math.max(0, (center - spread) / scale), Math.min(1, (center + spread) / scale)];
}
