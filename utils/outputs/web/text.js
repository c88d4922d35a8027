// Words as a sentence, and captions as files.

// Words as a sentence, as `join_words` of utils/data/tokenizer.py: clitics rejoined, a capital letter, a full stop.
export function joinWords(words) {
  const text = words.join(" ").replace(/ ('(?:s|m|d|ll|re|ve)|n't)(?![\p{L}\p{N}_])/gu, "$1");
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

// An HTML attribute with the caption.
export function altAttribute(text) {
  return `alt="${text.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}"`;
}

function cell(value) {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

// Captions as CSV, with the columns of `inference.py --csv`.
//   captions: of each photo its `name`, and `text` and `score` of the caption.
export function toCsv(captions) {
  const rows = captions.map(({ name, text, score }) => [name, "1", text, score.toFixed(4)].map(cell).join(","));
  return ["photo,number,caption,log_probability", ...rows, ""].join("\n");
}

// The same as JSON: the objects that `inference.py --json` writes line by line, as one list.
export function toJson(captions) {
  const rows = captions.map(({ name, text, score }) => (
    { photo: name, captions: [{ text, log_probability: Number(score.toFixed(4)) }] }
  ));
  return `${JSON.stringify(rows, null, 2)}\n`;
}

export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
