/** Faces from UltraFace's two outputs, and how many of them lie where a person is labelled (no faces are labelled in the data). */

const person = 0;

export default function plugin({
  defineMetric,
  definePostprocess,
  detectionTensor,
  detectionsOf,
  ratioState,
  suppress,
  targetOf,
  toFloat32,
}) {
  /** boxes [1, n, 4] are corners in 0..1 of the (stretched) image; scores [1, n, 2] are background and face. */
  const faces = definePostprocess({
    name: "ultraface",
    summary: "faces with score above 0.7, non-maximum suppression at 0.3",
    apply(outputs, sample) {
      const scores = toFloat32(outputs.scores);
      const corners = toFloat32(outputs.boxes);
      const { width, height } = sample.geometry;
      const found = [];
      for (let i = 0; i < scores.length / 2; i++) {
        const score = scores[2 * i + 1];
        if (score <= 0.7) continue;
        const [left, top, right, bottom] = corners.subarray(4 * i, 4 * i + 4);
        found.push({
          x: left * width,
          y: top * height,
          width: (right - left) * width,
          height: (bottom - top) * height,
          score,
          classIndex: 0,
        });
      }
      return { detections: detectionTensor(suppress(found, { iouThreshold: 0.3, maxDetections: 1000 })) };
    },
  });

  const inside = (face, box) => {
    const x = face.x + face.width / 2;
    const y = face.y + face.height / 2;
    return x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height;
  };

  /** A total over all images. */
  const count = (name, summary, counts) =>
    defineMetric({
      name,
      summary,
      unit: "",
      better: "higher",
      needs: ["boxes"],
      start: () =>
        ratioState(
          (outputs, sample) => [counts(detectionsOf(toFloat32(outputs.detections)), targetOf(sample, "boxes").boxes), 1],
          (total) => total,
        ),
    });

  return {
    postprocess: [faces],
    metrics: [
      count("faces", "faces found in all images", (found) => found.length),
      count(
        "faces-on-persons",
        "faces whose centre lies in a person's box",
        (found, boxes) => found.filter((face) => boxes.some((box) => box.classIndex === person && inside(face, box))).length,
      ),
    ],
  };
}
