// The user interface of the page. The model runs in worker.js.
import { altAttribute, megabytes, toCsv, toJson } from "./text.js";

const find = (id) => document.getElementById(id);
const status = find("status");
// Maps the number of each photo to an object: `file`, `item` (the element of the list), and later `done` and `caption`.
const photos = new Map();
let worker;
let count = 0;
let firstAsked;

// Captions with a lower confidence are marked as unsure. The same as UNSURE in utils/model/confidence.py.
const UNSURE = 0.5;

// Makes the sentence about a caption's confidence, as `confidence_note` of utils/model/confidence.py. The confidence is
// undefined for models without confidence.
function confidenceNote(confidence) {
  if (confidence === undefined) return "";
  const percent = `${Math.round(confidence * 100)}%`;
  return confidence < UNSURE ? `The model is unsure (confidence ${percent}).` : `Confidence ${percent}.`;
}

function say(text) {
  status.textContent = text;
}

// Creates an element with attributes; `children` are texts and elements.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function addButton(row, label, action) {
  const button = make("button", { type: "button" }, label);
  button.addEventListener("click", () => action(button));
  row.append(button);
  return button;
}

function add(files) {
  if (!worker) return say("The model is not loaded. Reload the page to try again.");
  for (const file of files) {
    const number = count++;
    const item = make("li", {}, make("p", { class: "name" }, file.name), make("p", {}, "Waiting …"));
    find("photos").append(item);
    photos.set(number, { file, item });
    firstAsked ??= performance.now();
    worker.postMessage({ id: number, file });
  }
  find("all").hidden = photos.size === 0;
}

// Shows how many photos are done, after the text `note`.
function report(note = "") {
  const done = [...photos.values()].filter((photo) => photo.done).length;
  say(`${note}${done} of ${photos.size} ${photos.size === 1 ? "photo" : "photos"} done.`);
}

// Draws an attention map with one pixel per region; low weights are dark, as in utils/outputs/attention_html.py.
function draw(map, values, rows, columns) {
  map.width = columns;
  map.height = rows;
  const most = Math.max(...values, 2 / values.length);
  const pixels = new ImageData(columns, rows);
  values.forEach((value, at) => { pixels.data[at * 4 + 3] = Math.round(225 * (1 - value / most)); });
  map.getContext("2d").putImageData(pixels, 0, 0);
}

async function copy(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    say(`Copied: ${text}`);
  } catch {
    say("This browser does not let the page copy. Select the sentence instead.");
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

function show(photo, { text, words, maps, rows, columns, logProbability, score, confidence, preview }) {
  Object.assign(photo, { done: true, caption: { name: photo.file.name, text, logProbability, score, confidence } });
  const picture = make("canvas", { role: "img", "aria-label": text });
  picture.width = preview.width;
  picture.height = preview.height;
  picture.getContext("2d").drawImage(preview, 0, 0);
  preview.close();
  const map = make("canvas", { class: "map", "aria-hidden": "true" });
  map.hidden = true;

  const row = make("div", { class: "row words", role: "group", "aria-label": "Words: show where the model looked" });
  const light = (button, place) => {
    for (const other of row.children) other.classList.toggle("lit", other === button);
    map.hidden = !button;
    if (button) draw(map, maps[place], rows, columns);
  };
  words.forEach((word, place) => {
    const button = addButton(row, word, () => light(button, place));
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => light(button, place));
    button.addEventListener("blur", () => light());
    button.addEventListener("pointerleave", ({ pointerType }) => {
      // On touch screens the map stays visible after the finger is lifted.
      if (pointerType !== "touch") light();
    });
  });

  const actions = make("div", { class: "row" });
  addButton(actions, "Copy sentence", (button) => copy(text, button));
  addButton(actions, "Copy as alt=…", (button) => copy(altAttribute(text), button));
  const note = confidenceNote(confidence);
  const noted = note ? [make("p", { class: "confidence" }, note)] : [];
  photo.item.lastChild.replaceWith(
    make("div", { class: "photo" }, picture, map), make("p", { class: "sentence" }, text), ...noted, row, actions,
  );
}

function fail(photo, message) {
  photo.done = true;
  photo.item.lastChild.replaceWith(make("p", { class: "failed" }, message));
}

function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

const captions = () => [...photos.values()].flatMap(({ caption }) => caption ?? []);

const answers = {
  progress({ received, total }) {
    const bar = find("progress");
    Object.assign(bar, { hidden: false, max: total, value: received });
    // The text changes only ten times, because screen readers read each change aloud.
    const tenths = Math.floor((received / total) * 10);
    if (bar.dataset.tenths === String(tenths)) return;
    bar.dataset.tenths = tenths;
    say(`Loading the model: ${megabytes(received)} of ${megabytes(total)}.`);
  },
  preparing() {
    say("Preparing the model …");
  },
  ready({ model, device, threads, seconds }) {
    find("progress").hidden = true;
    say(`Ready after ${seconds.toFixed(1)} seconds. Add a photo.`);
    find("about").textContent = `Model ${model.model}, trained on ${model.dataset}. It runs on ${device}`
      + `${device === "WebAssembly" ? ` with ${threads} ${threads === 1 ? "thread" : "threads"}` : ""}.`;
  },
  caption({ id, seconds, ...result }) {
    const photo = photos.get(id);
    if (!photo) return;
    show(photo, result);
    const first = captions().length === 1
      ? `First caption after ${((performance.now() - firstAsked) / 1000).toFixed(1)} seconds. ` : "";
    const note = confidenceNote(result.confidence);
    report(`${result.text} ${note && `${note} `}${first}`);
  },
  failed({ id, message }) {
    const photo = photos.get(id);
    if (!photo) return;
    fail(photo, message);
    report(`${message} `);
  },
  dead({ message }) {
    worker = undefined;
    find("progress").hidden = true;
    say(`The model cannot be loaded: ${message}. Reload the page to try again.`);
    photos.forEach((photo) => fail(photo, "Not captioned: the model is not loaded."));
  },
};

// Registers service.js, with which the page works offline and with several threads. Its headers need one reload.
async function settle() {
  // The browser updates a registered service worker itself.
  if (!navigator.serviceWorker || navigator.serviceWorker.controller) return;
  try {
    await navigator.serviceWorker.register("service.js");
    await navigator.serviceWorker.ready;
  } catch {
    return; // not allowed, for example in a private window
  }
  if (self.crossOriginIsolated || sessionStorage.getItem("settled")) return;
  sessionStorage.setItem("settled", "yes");
  location.reload();
  await new Promise(() => {});
}

function listen() {
  const drop = find("drop");
  for (const [button, input] of [["choose", "files"], ["camera", "shot"]]) {
    find(button).addEventListener("click", () => find(input).click());
    find(input).addEventListener("change", ({ target }) => {
      add(target.files);
      target.value = "";
    });
  }
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(event.dataTransfer.files);
    if (!event.dataTransfer.files.length) say("This is not a file. Save the photo first, then drop it.");
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    add(clipboardData.files);
    if (!clipboardData.files.length) say("There is no photo in the clipboard.");
  });
  find("csv").addEventListener("click", () => download("captions.csv", "text/csv", toCsv(captions())));
  find("json").addEventListener("click", () => download("captions.json", "application/json", toJson(captions())));
  find("clear").addEventListener("click", () => {
    photos.clear();
    find("photos").replaceChildren();
    find("all").hidden = true;
    say("All photos were removed.");
    find("choose").focus();
  });
}

async function start() {
  if (typeof WebAssembly !== "object" || typeof OffscreenCanvas !== "function" || typeof DecompressionStream !== "function") {
    return say("This browser is too old for this page, or has no WebAssembly. Use a current Chrome, Firefox or Safari.");
  }
  say("Loading …");
  await settle();
  worker = new Worker("worker.js", { type: "module" });
  worker.addEventListener("message", ({ data: { type, ...answer } }) => {
    // Later answers would replace the message of a failure.
    if (worker) answers[type](answer);
  });
  worker.addEventListener("error", ({ message }) => answers.dead({ message: message || "the worker does not start" }));
  listen();
}

start();
