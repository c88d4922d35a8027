// A web worker that loads the model and captions photos, so that the page stays responsive.
import { decode, photoPixels } from "./pixels.js";
import { beamSearch } from "./search.js";
import { joinWords } from "./text.js";

const PREVIEW = 900; // maximum length of the preview's longer side, in pixels
const THREADS = 8; // maximum number of threads

let model, runtime, sessions, encoderBytes;

// Fetches a file from the folder of the page and decompresses it.
//   version: the version in files.json, which becomes a part of the address.
//   count(bytes): a function that is called with the size of each part that arrives.
async function load(name, version, count) {
  const response = await fetch(`${name}?v=${version}`);
  if (!response.ok) throw new Error(`${name} cannot be loaded (status ${response.status})`);
  const counted = response.body.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      count(chunk.length);
      controller.enqueue(chunk);
    },
  }));
  const unpacked = name.endsWith(".gzip") ? counted.pipeThrough(new DecompressionStream("gzip")) : counted;
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

// Returns whether to use WebGPU. The browser must be able to suspend WebAssembly (JSPI). A fallback adapter of WebGPU is
// not used, because it computes on the CPU and is slower than WebAssembly.
async function hasWebGpu() {
  try {
    const adapter = "Suspending" in WebAssembly && await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  } catch {
    return false;
  }
}

async function makeEncoder(device) {
  const provider = device === "WebGPU" ? "webgpu" : "wasm";
  return runtime.InferenceSession.create(encoderBytes, { executionProviders: [provider], logSeverityLevel: 3 });
}

async function start() {
  const began = performance.now();
  const { version, bytes } = await (await fetch("files.json", { cache: "no-cache" })).json();
  const gpu = await hasWebGpu();
  const wasm = `runtime/ort-wasm-simd-threaded${gpu ? ".jspi" : ""}`;
  const names = ["model/model.json", `${wasm}.wasm.gzip`, "model/encoder.onnx.gzip", "model/step.onnx.gzip"];
  const total = names.reduce((sum, name) => sum + bytes[name], 0);
  let received = 0;
  const count = (more) => postMessage({ type: "progress", received: (received += more), total });
  const [description, wasmBinary, encoder, step] = await Promise.all(names.map((name) => load(name, version, count)));
  postMessage({ type: "preparing" });
  model = JSON.parse(new TextDecoder().decode(description));
  encoderBytes = encoder;
  runtime = await import(`./runtime/ort${gpu ? ".jspi" : ".wasm"}.min.mjs`);
  runtime.env.logLevel = "error";
  runtime.env.wasm.wasmPaths = { mjs: new URL(`${wasm}.mjs`, import.meta.url).href };
  runtime.env.wasm.wasmBinary = wasmBinary;
  runtime.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, THREADS) : 1;
  sessions = { device: gpu ? "WebGPU" : "WebAssembly" };
  // WebGPU is faster for the encoder, but not for the small network of one step.
  sessions.encoder = await makeEncoder(sessions.device).catch(withoutGpu);
  sessions.step = await runtime.InferenceSession.create(step, { executionProviders: ["wasm"] });
  postMessage({
    type: "ready",
    model: { model: model.model, dataset: model.dataset },
    device: sessions.device,
    threads: runtime.env.wasm.numThreads,
    seconds: (performance.now() - began) / 1000,
  });
}

async function withoutGpu(error) {
  if (sessions.device !== "WebGPU") throw error;
  sessions.device = "WebAssembly";
  return (sessions.encoder = await makeEncoder(sessions.device));
}

async function encode(pixels) {
  const { image_size: size } = model;
  const feeds = () => ({ pixels: new runtime.Tensor("uint8", pixels, [1, size, size, 3]) });
  return sessions.encoder.run(feeds()).catch(async (error) => (await withoutGpu(error)).run(feeds()));
}

// Writes the caption of a decoded photo. Returns the results of `beamSearch`, with words instead of word numbers, and
// the sentence `text`.
async function caption(photo) {
  const { keys, values, hidden, cell, worth, detail } = await encode(photoPixels(photo, model.image_size));
  const step = async (words, hiddenNow, cellNow) => {
    const shape = [1, words.length, hidden.dims[2]];
    const result = await sessions.step.run({
      words: new runtime.Tensor("int32", Int32Array.from(words), [1, words.length]),
      hidden: new runtime.Tensor("float32", hiddenNow, shape),
      cell: new runtime.Tensor("float32", cellNow, shape),
      keys,
      values,
    });
    return {
      logProbabilities: result.log_probabilities.data,
      attention: result.attention.data,
      hidden: result.next_hidden.data,
      cell: result.next_cell.data,
    };
  };
  const first = { hidden: hidden.data, cell: cell.data, worth: worth?.data, detail: detail?.data[0] };
  const found = await beamSearch(model, first, step);
  const words = found.words.map((number) => model.vocabulary[number]);
  return { ...found, text: joinWords(words), words, rows: model.rows, columns: model.columns };
}

async function answer(id, file) {
  const began = performance.now();
  let photo;
  try {
    photo = await decode(file);
  } catch {
    const why = file.size ? "damaged, too large, or in a format that this browser does not read" : "the file is empty";
    return postMessage({ type: "failed", id, message: `This photo cannot be read: ${why}.` });
  }
  const { bitmap } = photo;
  try {
    if (bitmap.width * bitmap.height > model.max_pixels) {
      const message = `The photo has too many pixels (${bitmap.width} × ${bitmap.height}). Make it smaller.`;
      return postMessage({ type: "failed", id, message });
    }
    const result = await caption(photo);
    const scale = Math.min(PREVIEW / Math.max(bitmap.width, bitmap.height), 1);
    const [resizeWidth, resizeHeight] = [bitmap.width, bitmap.height].map((side) => Math.max(Math.round(side * scale), 1));
    const preview = await createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: "medium" });
    postMessage({ type: "caption", id, ...result, preview, seconds: (performance.now() - began) / 1000 }, [preview]);
  } catch (error) {
    postMessage({ type: "failed", id, message: `This photo cannot be captioned (${error.message ?? error}).` });
  } finally {
    bitmap.close();
  }
}

// Photos are captioned one after another, after the model is loaded.
let queue = start();
queue.catch((error) => postMessage({ type: "dead", message: String(error.message ?? error) }));
onmessage = ({ data: { id, file } }) => {
  queue = queue.then(() => answer(id, file));
  queue.catch(() => {});
};
