// Writes captions as sentences and as tables.

// Joins words to a sentence, as `join_words` of utils/data/tokenizer.py: 's and n't follow without a space, the first
// letter is a capital, and a full stop ends the sentence.
export function joinWords(words) {
  const text = words.join(" ").replace(/ ('(?:s|m|d|ll|re|ve)|n't)(?![\p{L}\p{N}_])/gu, "$1");
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

// Makes the HTML attribute `alt` with the caption.
export function altAttribute(text) {
  return `alt="${text.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}"`;
}

function cell(value) {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

// Writes captions as CSV, with the columns of `inference.py --csv`.
//   captions: a list of { name, text, logProbability, score, confidence }, one for each photo. `name` is the name of
//     the file. `confidence` is undefined for models without confidence.
export function toCsv(captions) {
  const rows = captions.map(({ name, text, logProbability, score, confidence }) => {
    const numbers = [logProbability, score, confidence].map((number) => number?.toFixed(4) ?? "");
    return [name, "1", text, ...numbers].map(cell).join(",");
  });
  return ["photo,number,caption,log_probability,score,confidence", ...rows, ""].join("\n");
}

const round = (number) => (number === undefined ? undefined : Number(number.toFixed(4)));

// Writes captions as a JSON list. Its objects are those that `inference.py --json` writes line by line.
export function toJson(captions) {
  const rows = captions.map(({ name, text, logProbability, score, confidence }) => ({
    photo: name,
    captions: [{ text, log_probability: round(logProbability), score: round(score), confidence: round(confidence) }],
  }));
  return `${JSON.stringify(rows, null, 2)}\n`; // leaves out a confidence that is undefined
}

export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
