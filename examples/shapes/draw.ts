// Draws one labelled picture: a shape or a texture, turned, moved, coloured, half hidden by a stroke, under noise.
import { between, roughlyNormal, seeded } from "./random.ts";

export const imageSize = 48;

/** Signed distance in pixels from the outline at (x, y), negative inside; the shape has "radius" 1. */
type Shape = (x: number, y: number) => number;

const disc = (x: number, y: number, radius: number): number => Math.hypot(x, y) - radius;
const box = (x: number, y: number, width: number, height: number): number => Math.max(Math.abs(x) - width, Math.abs(y) - height);

/** A regular star or polygon: distance to its edge, folded into one of `points` equal wedges. */
function star(points: number, inner: number): Shape {
  const wedge = Math.PI / points;
  // from a tip (1, 0) to the valley beside it
  const edge = { x: inner * Math.cos(wedge) - 1, y: inner * Math.sin(wedge) };
  const length = Math.hypot(edge.x, edge.y);
  return (x, y) => {
    const angle = Math.abs((((Math.atan2(y, x) % (2 * wedge)) + 3 * wedge) % (2 * wedge)) - wedge);
    const radius = Math.hypot(x, y);
    const [px, py] = [radius * Math.cos(angle) - 1, radius * Math.sin(angle)];
    return (py * -edge.x + px * edge.y) / length;
  };
}

/** A texture cut out as a disc or a square, so that the outline alone tells nothing. */
function cutOut(inside: (x: number, y: number) => number): (round: boolean) => Shape {
  return (round) => (x, y) => Math.max(round ? disc(x, y, 1.05) : box(x, y, 0.9, 0.9), inside(x, y));
}

const wave = (t: number): number => Math.sin(t * 2 * Math.PI);
const textures = {
  // distances of textures are scaled to about the same steepness as those of outlines
  checker: cutOut((x, y) => wave(x * 1.1) * wave(y * 1.1) * 0.3),
  dots: cutOut((x, y) => 0.2 - (2 + wave(x * 1.5) + wave(y * 1.5)) * 0.075),
  stripes: cutOut((x) => wave(x * 1.4) * 0.15),
};

const shapes: Readonly<Record<string, (round: boolean) => Shape>> = {
  checker: textures.checker,
  circle: () => (x, y) => disc(x, y, 0.9),
  cross: () => (x, y) => Math.min(box(x, y, 0.3, 1), box(x, y, 1, 0.3)),
  dots: textures.dots,
  moon: () => (x, y) => Math.max(disc(x, y, 1), -disc(x - 0.5, y, 0.85)),
  ring: () => (x, y) => Math.abs(disc(x, y, 0.8)) - 0.2,
  square: () => (x, y) => box(x, y, 0.82, 0.82),
  star: () => star(5, 0.42),
  stripes: textures.stripes,
  triangle: () => star(3, 0.5),
};

/** In the order of their folders: the class index is the position. */
export const classNames: readonly string[] = Object.keys(shapes);

type Color = readonly [number, number, number];

/** A dark ground and a bright drawing on it. */
function colors(random: () => number): readonly [front: Color, back: Color] {
  const color = (low: number, high: number): Color => [
    between(random, low, high),
    between(random, low, high),
    between(random, low, high),
  ];
  return [color(0.45, 1), color(0, 0.4)];
}

/** Smooth bumps over the picture: a sum of three plane waves of random direction. */
function unevenLight(random: () => number): (x: number, y: number) => number {
  const waves = Array.from({ length: 3 }, () => {
    const angle = between(random, 0, 2 * Math.PI);
    const frequency = between(random, 0.5, 2.5) / imageSize;
    return {
      x: Math.cos(angle) * frequency,
      y: Math.sin(angle) * frequency,
      phase: random(),
      strength: between(random, 0, 0.07),
    };
  });
  return (x, y) => waves.reduce((sum, w) => sum + w.strength * wave(x * w.x + y * w.y + w.phase), 0);
}

/** A straight stroke that may cross the shape. */
function stroke(random: () => number): (x: number, y: number) => number {
  const angle = between(random, 0, Math.PI);
  const offset = between(random, -0.5, 0.5) * imageSize;
  const width = random() < 0.5 ? between(random, 0.5, 1.5) : -2;
  return (x, y) => Math.abs(x * Math.cos(angle) + y * Math.sin(angle) - offset) - width;
}

/** Share of a pixel that lies inside an outline at signed distance `d` pixels. */
const coverage = (d: number): number => Math.min(1, Math.max(0, 0.5 - d));

/** RGB bytes, row by row, of picture number `seed` of a class. */
export function draw(className: string, seed: number): Uint8Array {
  const classIndex = classNames.indexOf(className);
  const random = seeded(seed * 16 + classIndex);
  const shape = (shapes[className] as (round: boolean) => Shape)(random() < 0.5);
  const radius = between(random, 12, 19);
  const angle = between(random, 0, 2 * Math.PI);
  const [cos, sin] = [Math.cos(angle) / radius, Math.sin(angle) / radius];
  const [centerX, centerY] = [between(random, -5, 5), between(random, -5, 5)];
  const [front, back] = colors(random);
  const strokeColor: Color = [random(), random(), random()];
  const light = unevenLight(random);
  const line = stroke(random);
  const noise = between(random, 0.01, 0.07);
  const pixels = new Uint8Array(imageSize * imageSize * 3);
  for (let i = 0; i < imageSize * imageSize; i++) {
    const x = (i % imageSize) - imageSize / 2 + 0.5;
    const y = Math.floor(i / imageSize) - imageSize / 2 + 0.5;
    const [dx, dy] = [x - centerX, y - centerY];
    const inside = coverage(shape(dx * cos + dy * sin, dy * cos - dx * sin) * radius);
    const onStroke = coverage(line(x, y)) * 0.8;
    const shade = light(x, y);
    for (let channel = 0; channel < 3; channel++) {
      const [f, b, s] = [front[channel] as number, back[channel] as number, strokeColor[channel] as number];
      const plain = (f * inside + b * (1 - inside)) * (1 - onStroke) + s * onStroke;
      // 32 steps per channel: noise in the lowest bits would make the files twice as large and the task no harder
      const level = Math.round((plain + shade + noise * roughlyNormal(random)) * 31);
      pixels[i * 3 + channel] = Math.round((Math.min(31, Math.max(0, level)) * 255) / 31);
    }
  }
  return pixels;
}
