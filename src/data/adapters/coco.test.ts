import { expect } from "vitest";
import { testDataset } from "../../../test/suites/dataset.ts";
import { imageInput, png, writeFiles } from "../../../test/suites/dataset-fixtures.ts";

const pictures = async () => ({ "images/a.png": await png(1), "images/b.png": await png(2), "images/c.png": await png(3) });
const yolo =
  (labels: Readonly<Record<string, string>>, options?: Readonly<Record<string, unknown>>) => async (folder: string) => {
    await writeFiles(folder, { ...(await pictures()), "classes.txt": "person\ndog\n", ...labels });
    return { path: folder, ...(options ? { options } : {}) };
  };
const labels = { "labels/a.txt": "0 0.5 0.5 0.5 0.25\n1 0.25 0.25 0.5 0.5\n", "labels/b.txt": "" };
const boxesOfA = {
  kind: "boxes",
  boxes: [
    { classIndex: 0, x: 3, y: 3, width: 6, height: 2 },
    { classIndex: 1, x: 0, y: 0, width: 6, height: 4 },
  ],
} as const;
const none = { kind: "boxes", boxes: [] } as const;

testDataset({
  kind: "coco",
  title: "YOLO labels in labels/",
  build: yolo(labels),
  length: 3,
  features: ["image"],
  label: "boxes",
  classes: ["person", "dog"],
  targets: [boxesOfA, none, none],
  inputs: [imageInput(3, 16, 16)],
  preprocess: "yolox",
  firstValues: { input: [(37 + 22) % 256] },
  broken: [
    {
      title: "a box without a height",
      build: yolo({ "labels/a.txt": "0 0.5 0.5 0.5\n" }),
      code: "DATA_CORRUPT",
      names: "Line 1",
    },
    {
      title: "a class without a name",
      build: yolo({ "labels/a.txt": "7 0.5 0.5 0.5 0.5\n" }),
      code: "DATA_LABEL_RANGE",
      names: "class 7",
    },
    { title: "no label files", build: yolo({}), code: "DATA_LABELS", names: "3 images" },
  ],
  real: {
    path: ["coco"],
    length: 70,
    inputs: [imageInput(3, 416, 416)],
    preprocess: "yolox",
    take: 70,
    check(samples) {
      const boxes = samples.flatMap(({ target }) => (target?.kind === "boxes" ? target.boxes : []));
      expect(boxes).toHaveLength(581);
      expect(new Set(boxes.map((box) => box.classIndex)).size).toBe(66);
      for (const { geometry } of samples)
        expect(geometry).toMatchObject({ inputWidth: 416, inputHeight: 416, offsetX: 0, offsetY: 0 });
    },
  },
});

testDataset({
  kind: "coco",
  title: "presence of a class as a yes/no label",
  build: yolo({ ...labels, "labels/c.txt": "0 0.5 0.5 0.1 0.1\n" }, { presence: { class: "person", minArea: 0.02 } }),
  length: 3,
  features: ["image"],
  label: "class",
  classes: ["no person", "person"],
  targets: [1, 0, 0],
  inputs: [imageInput(3, 8, 8)],
  preprocess: "unit",
  broken: [],
});

const cocoFile = (change: (file: Record<string, unknown>) => void = () => {}): string => {
  const file = {
    images: [
      { id: 5, file_name: "a.png", width: 12, height: 8 },
      { id: 9, file_name: "b.png", width: 12, height: 8 },
      { id: 11, file_name: "c.png", width: 12, height: 8 },
    ],
    annotations: [
      { image_id: 5, category_id: 1, bbox: [3, 3, 6, 2], iscrowd: 0 },
      { image_id: 5, category_id: 18, bbox: [0, 0, 6, 4] },
      { image_id: 9, category_id: 18, bbox: [0, 0, 12, 8], iscrowd: 1 },
    ],
    categories: [
      { id: 18, name: "dog" },
      { id: 1, name: "person" },
    ],
  };
  change(file);
  return JSON.stringify(file);
};
const json = (content: string) => async (folder: string) => {
  await writeFiles(folder, { ...(await pictures()), "annotations/instances.json": content });
  return { path: folder };
};

testDataset({
  kind: "coco",
  title: "COCO JSON; crowd regions are no boxes",
  build: json(cocoFile()),
  length: 3,
  features: ["image"],
  label: "boxes",
  classes: ["person", "dog"],
  targets: [boxesOfA, none, none],
  inputs: [imageInput(3, 16, 16)],
  preprocess: "yolo",
  broken: [
    { title: "no JSON", build: json("{"), code: "DATA_CORRUPT", names: "instances.json" },
    {
      title: "another form",
      build: json(
        cocoFile((file) => {
          delete file.categories;
        }),
      ),
      code: "DATA_CORRUPT",
      names: "categories",
    },
    {
      title: "a box of an unknown category",
      build: json(
        cocoFile((file) => {
          file.categories = [{ id: 1, name: "person" }];
        }),
      ),
      code: "DATA_LABEL_RANGE",
      names: "category 18",
    },
    {
      title: "an image that is missing",
      build: json(
        cocoFile((file) => {
          (file.images as unknown[]).push({ id: 12, file_name: "gone.png" });
        }),
      ),
      code: "DATA_READ",
      names: "gone.png",
    },
  ],
});
