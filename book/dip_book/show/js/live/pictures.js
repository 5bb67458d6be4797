// Grey pictures: Float32Array of size·size values in [0, 1], row by row.
import { generator } from "./random.js";

export const psnr = (picture, truth) =>
  -10 *
  Math.log10(picture.reduce((sum, value, i) => sum + (value - truth[i]) ** 2, 0) / truth.length);

// A base64 text of bytes, size·size of them.
export const fromBytes = (text) =>
  Float32Array.from(atob(text), (letter) => letter.charCodeAt(0) / 255);

// Half as high and as wide: the mean of each 2×2 block.
export function halved(picture, size) {
  const half = size / 2;
  return Float32Array.from({ length: half * half }, (_, i) => {
    const at = 2 * Math.floor(i / half) * size + 2 * (i % half);
    return (picture[at] + picture[at + 1] + picture[at + size] + picture[at + size + 1]) / 4;
  });
}

// 1 where a pixel is known: with probability p, and not painted over.
export function knownPixels(size, p, seed, painted) {
  const { uniform } = generator(1000 + seed);
  return Float32Array.from({ length: size * size }, (_, i) =>
    uniform() < p && !painted[i] ? 1 : 0,
  );
}

// The pixels in another order, always the same; and how they are put back.
export function shuffling(size) {
  const order = generator(77).order(size * size);
  const shuffle = (picture) => picture.map((_, i) => picture[order[i]]);
  const restore = (picture) => {
    const back = new Float32Array(picture.length);
    order.forEach((from, i) => {
      back[from] = picture[i];
    });
    return back;
  };
  return { shuffle, restore };
}

// Sets the painted pixels (0 or 1) within a round brush.
export function paint(painted, size, x, y, radius, value) {
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(size - 1, y + radius); row++)
    for (
      let column = Math.max(0, Math.ceil(x - radius));
      column <= Math.min(size - 1, x + radius);
      column++
    )
      if ((row - y) ** 2 + (column - x) ** 2 <= radius ** 2) painted[row * size + column] = value;
}

// The middle square of a reader's picture, in grey, size×size.  Throws an Error with a sentence
// for the reader.
export async function fromFile(file, size) {
  const name = `“${file.name.replace(/[\p{Cc}\p{Cf}]/gu, "�")}”`;
  const most = 60; // million bytes
  if (file.size > most * 1e6)
    throw new Error(`${name} is larger than ${most} MB. Please make it smaller first.`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(
      `${name} is not a picture that this browser can read. PNG, JPEG and WebP work everywhere.`,
    );
  }
  const { width, height } = bitmap;
  if (Math.min(width, height) < size)
    throw new Error(`${name} has ${width}×${height} pixels; at least ${size}×${size} are needed.`);
  try {
    return middle(bitmap, size);
  } catch {
    throw new Error(`This browser has no memory for ${name}. Please make it smaller first.`);
  } finally {
    bitmap.close();
  }
}

// Of a bitmap the middle square, in grey, size×size.
function middle(bitmap, size) {
  const { width, height } = bitmap;
  let side = Math.min(width, height);
  let [source, left, top] = [bitmap, (width - side) / 2, (height - side) / 2];
  for (;;) {
    // by halves, so that no pixel is passed over
    const next = Math.max(size, Math.ceil(side / 2));
    const canvas = new OffscreenCanvas(next, next);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff"; // what is transparent
    context.fillRect(0, 0, next, next);
    context.imageSmoothingQuality = "high";
    context.drawImage(source, left, top, side, side, 0, 0, next, next);
    [source, left, top, side] = [canvas, 0, 0, next];
    if (side === size) {
      const { data } = context.getImageData(0, 0, size, size);
      return Float32Array.from(
        { length: size * size },
        (_, i) => (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255,
      );
    }
  }
}
