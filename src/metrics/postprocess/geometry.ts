interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * A rectangle in pixels of the model's input, in pixels of the original image: preprocessing put original x at x·scaleX + offsetX.
 * Missing entries mean that nothing was scaled or moved.
 */
export function toOriginal(rectangle: Rectangle, geometry: Readonly<Record<string, number>>): Rectangle {
  const scaleX = geometry.scaleX ?? 1;
  const scaleY = geometry.scaleY ?? 1;
  return {
    x: (rectangle.x - (geometry.offsetX ?? 0)) / scaleX,
    y: (rectangle.y - (geometry.offsetY ?? 0)) / scaleY,
    width: rectangle.width / scaleX,
    height: rectangle.height / scaleY,
  };
}
