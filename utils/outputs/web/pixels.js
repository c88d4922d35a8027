// Reads a photo and resizes it for the model. The results equal those of utils/data/images.py, which uses Pillow.

// Number of pixels that are read from the decoded photo at a time; they take 16 MB.
const STRIP_PIXELS = 2 ** 22;

// The value 1 in the fixed-point numbers with which Pillow resizes 8-bit images.
const PRECISION = 2 ** 22;

// Returns the factor, 8, 4, 2 or 1, by which Pillow lets libjpeg reduce a JPEG that will be resized to `size` × `size`.
export function draftFactor(width, height, size) {
  const room = Math.floor(Math.min(width / (2 * size), height / (2 * size)));
  return [8, 4, 2].find((factor) => room >= factor) ?? 1;
}

// Makes a photo smaller by averaging boxes of pixels, as Pillow's `Image.reduce`. Pixels are RGBA; the alpha channel is
// ignored.
//   horizontal, vertical: width and height of a box, in pixels.
export function reduce(pixels, width, height, horizontal, vertical) {
  if (horizontal === 1 && vertical === 1) return { pixels, width, height };
  const columns = Math.ceil(width / horizontal);
  const rows = Math.ceil(height / vertical);
  const reduced = new Uint8ClampedArray(columns * rows * 4);
  for (let row = 0; row < rows; row++) {
    const bottom = Math.min((row + 1) * vertical, height);
    for (let column = 0; column < columns; column++) {
      const right = Math.min((column + 1) * horizontal, width);
      let [red, green, blue] = [0, 0, 0];
      for (let y = row * vertical; y < bottom; y++) {
        for (let at = (y * width + column * horizontal) * 4; at < (y * width + right) * 4; at += 4) {
          red += pixels[at];
          green += pixels[at + 1];
          blue += pixels[at + 2];
        }
      }
      const count = (bottom - row * vertical) * (right - column * horizontal);
      const multiplier = Math.floor(2 ** 24 / count);
      const half = Math.floor(count / 2);
      const to = (row * columns + column) * 4;
      reduced[to] = Math.floor(((red + half) * multiplier) / 2 ** 24);
      reduced[to + 1] = Math.floor(((green + half) * multiplier) / 2 ** 24);
      reduced[to + 2] = Math.floor(((blue + half) * multiplier) / 2 ** 24);
    }
  }
  return { pixels: reduced, width: columns, height: rows };
}

// Returns for each output pixel of a line: the first input pixel that contributes to it, and the weights of all input
// pixels that contribute to it.
//   inputSize, outputSize: lengths of the input line and of the output line.
//   end: the part of the input line that is used, from 0; it need not be an integer.
function bilinearWeights(inputSize, end, outputSize) {
  const scale = end / outputSize;
  const support = Math.max(scale, 1);
  return Array.from({ length: outputSize }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), inputSize);
    const weights = [];
    for (let at = first; at < last; at++) {
      weights.push(Math.max(1 - Math.abs((at - center + 0.5) / support), 0));
    }
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => Math.trunc(0.5 + (weight / sum) * PRECISION)) };
  });
}

// Resizes one axis of a photo as Pillow's bilinear `Image.resize`. A line is a row or a column of pixels.
//   pixels, to: the input and the output, arrays of RGBA pixels.
//   lines: the number of lines.
//   step, toStep: by how much the array indices of neighbouring pixels of a line differ, in input and output.
//   lineStep, toLineStep: by how much the array indices of neighbouring lines differ, in input and output.
//   places: the result of `bilinearWeights`.
function resizeLines(pixels, lines, lineStep, step, to, toLineStep, toStep, places) {
  for (let line = 0; line < lines; line++) {
    places.forEach(({ first, weights }, place) => {
      for (let channel = 0; channel < 3; channel++) {
        let sum = PRECISION / 2;
        let at = line * lineStep + first * step + channel;
        for (const weight of weights) {
          sum += weight * pixels[at];
          at += step;
        }
        to[line * toLineStep + place * toStep + channel] = Math.floor(sum / PRECISION);
      }
    });
  }
}

// Resizes a photo as Pillow's `resize((size, size), BILINEAR, box=(0, 0, right, bottom))`. Pixels are RGBA; the alpha
// channel is ignored.
export function resize({ pixels, width, height }, size, right = width, bottom = height) {
  if (width !== size || right !== width) {
    const narrow = new Uint8ClampedArray(size * height * 4);
    resizeLines(pixels, height, width * 4, 4, narrow, size * 4, 4, bilinearWeights(width, right, size));
    pixels = narrow;
  }
  if (height !== size || bottom !== height) {
    const low = new Uint8ClampedArray(size * size * 4);
    resizeLines(pixels, size, 4, size * 4, low, 4, size * 4, bilinearWeights(height, bottom, size));
    pixels = low;
  }
  return pixels;
}

// Resizes a whole photo to `size` × `size` RGB pixels, as `open_photo` and `to_pixels` of utils/data/images.py.
//   read(top, rows): a function that returns the RGBA pixels of `rows` rows, from row `top` on.
//   width, height: size of the photo in pixels.
//   isJpeg: whether the file is a JPEG, which Pillow decodes at a reduced size.
export function toPixels(read, width, height, size, isJpeg) {
  const draft = isJpeg ? draftFactor(width, height, size) : 1;
  const drafted = [Math.ceil(width / draft), Math.ceil(height / draft)];
  const [horizontal, vertical] = drafted.map((side) => Math.trunc(side / size / 3) || 1);
  const columns = Math.ceil(drafted[0] / horizontal);
  const rows = Math.ceil(drafted[1] / vertical);
  const whole = new Uint8ClampedArray(columns * rows * 4);
  const unit = draft * vertical;
  const strip = unit * Math.max(Math.floor(STRIP_PIXELS / width / unit), 1);
  let filled = 0;
  for (let top = 0; top < height; top += strip) {
    const count = Math.min(strip, height - top);
    const part = reduce(read(top, count), width, count, draft, draft);
    const { pixels } = reduce(part.pixels, part.width, part.height, horizontal, vertical);
    whole.set(pixels, filled);
    filled += pixels.length;
  }
  // Pillow keeps the box in single precision.
  const box = [Math.fround(drafted[0] / horizontal), Math.fround(drafted[1] / vertical)];
  const small = resize({ pixels: whole, width: columns, height: rows }, size, ...box);
  return Uint8Array.from({ length: size * size * 3 }, (_, at) => small[Math.floor(at / 3) * 4 + (at % 3)]);
}

// Decodes a photo, upright; of an animation the first frame. Throws the browser's error for unreadable files.
export async function decode(file) {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  return { bitmap, isJpeg: start[0] === 0xff && start[1] === 0xd8 };
}

// Makes the input of the model from a decoded photo: `size` × `size` RGB pixels, with a white background behind
// transparent pixels. Throws an Error if the photo is too large for the browser's canvas.
export function photoPixels({ bitmap, isJpeg }, size) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, Math.min(height, Math.max(Math.ceil(STRIP_PIXELS / width), 256)));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const read = (top, rows) => {
    if (rows > canvas.height) canvas.height = rows;
    context.fillStyle = "white";
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    // A canvas that is larger than the browser allows stays transparent.
    if (data[3] !== 255) throw new Error("it is too wide or too high for this browser");
    return data;
  };
  return toPixels(read, width, height, size, isJpeg);
}
