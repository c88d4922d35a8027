// Beam search for one photo, with the rules of `beam_search` in utils/model/search.py. The choice of the best caption
// follows `Captioner._captions` in utils/captioner.py.
import { isFaulty } from "./faults.js";

// Log-probability of a forbidden word.
const IMPOSSIBLE = -1e9;

// Penalty that ranks unfinished captions after all finished ones.
const UNENDED = 1e3;

// This number is subtracted from the score of a faulty caption.
const FAULT = 1e3;

// Finds the words that would repeat a sequence of `length` words of a hypothesis if they came next.
export function repeatingWords(words, length) {
  const before = length - 1;
  const last = words.slice(-before).join();
  const repeating = new Set();
  for (let at = 0; words.length >= before && at + before < words.length; at++) {
    if (words.slice(at, at + before).join() === last) repeating.add(words[at + before]);
  }
  return repeating;
}

// Chooses the `count` elements with the highest `score`, best first. Of two equal scores, the earlier one comes first.
function best(extensions, count) {
  const kept = [];
  for (const extension of extensions) {
    let place = kept.length;
    while (place > 0 && extension.score > kept[place - 1].score) place--;
    if (place < count) {
      kept.splice(place, 0, extension);
      if (kept.length > count) kept.pop();
    }
  }
  return kept;
}

// Yields all extensions of all hypotheses by one word. `parent` is the index of the hypothesis that is extended.
function* extend(hypotheses, logProbabilities, { vocabulary, special, unrepeated }) {
  const size = vocabulary.length;
  const never = new Set([special.pad, special.start, special.unknown]);
  for (const [parent, { words, score, ended }] of hypotheses.entries()) {
    if (ended) {
      yield { parent, word: special.pad, score };
      continue;
    }
    const forbidden = repeatingWords(words, unrepeated);
    for (let word = 0; word < size; word++) {
      const barred = never.has(word) || forbidden.has(word) || (word === special.end && words.length === 0);
      yield { parent, word, score: Math.fround(score + (barred ? IMPOSSIBLE : logProbabilities[parent * size + word])) };
    }
  }
}

// Computes how well a caption agrees with the words that people would use, as `Consensus.likeness`.
function likenessOf(words, worth, rarity) {
  let sum = 0;
  let squares = 0;
  for (const word of words) {
    sum += worth[word];
    squares += rarity[word] ** 2 * words.filter((other) => other === word).length;
  }
  return sum / Math.max(Math.sqrt(squares), 1e-12);
}

// Computes the probability that a caption is right, as utils/model/confidence.py.
//   logProbability: mean log-probability per word; the end counts as a word.
//   likeness: the result of `likenessOf`.
//   detail: how much the regions of the photo differ from each other, as `Consensus.detail` of utils/model/consensus.py.
//   regression: `confidence` of model.json.
export function confidenceOf(logProbability, likeness, detail, regression) {
  const values = {
    log_probability: logProbability,
    likeness: Math.log(Math.max(likeness, regression.least_likeness)),
    detail: Math.min(detail, regression.most_detail),
  };
  let sum = regression.bias;
  for (const [name, { mean, scale, weight }] of Object.entries(regression.features)) {
    sum += weight * (values[name] - mean) / scale;
  }
  return 1 / (1 + Math.exp(-sum));
}

// Finds the best caption of a photo by beam search.
//   model: the content of model.json.
//   start: the decoder state `hidden` and `cell` before the first word, for one hypothesis; with a consensus also
//     `worth`: how much each word adds to the likeness of a caption, and the `detail` of the photo.
//   step(words, hidden, cell): a function that returns the log-probabilities of the next word, the attention and the
//     new state. Each array holds the values of all hypotheses, one hypothesis after another.
// Returns an object:
//   words, maps: word numbers, and the attention map (rows × columns) of each word.
//   logProbability: natural logarithm of the probability of the caption.
//   score: the number that ranks captions.
//   confidence: probability that the caption is right; undefined for models without confidence.
export async function beamSearch(model, start, step) {
  const { special, beam_size: beam } = model;
  const units = start.hidden.length;
  // All hypotheses are equal at the start, so only the first one may be extended in the first step.
  let hypotheses = Array.from({ length: beam }, (_, number) => (
    { words: [], maps: [], last: special.start, score: number ? IMPOSSIBLE : 0, ended: false }
  ));
  const repeat = (values) => Float32Array.from({ length: beam * units }, (_, at) => values[at % units]);
  let [hidden, cell] = [repeat(start.hidden), repeat(start.cell)];
  for (let position = 0; position < model.max_words && !hypotheses.every((each) => each.ended); position++) {
    const result = await step(hypotheses.map((each) => each.last), hidden, cell);
    const places = result.attention.length / beam;
    const chosen = best(extend(hypotheses, result.logProbabilities, model), beam);
    const take = (values) => {
      const taken = new Float32Array(beam * units);
      chosen.forEach(({ parent }, at) => taken.set(values.subarray(parent * units, (parent + 1) * units), at * units));
      return taken;
    };
    [hidden, cell] = [take(result.hidden), take(result.cell)];
    hypotheses = chosen.map(({ parent, word, score }) => {
      const { words, maps, ended } = hypotheses[parent];
      if (ended || word === special.end) return { words, maps, last: word, score, ended: true };
      const map = result.attention.slice(parent * places, (parent + 1) * places);
      return { words: [...words, word], maps: [...maps, map], last: word, score, ended: false };
    });
  }
  const captions = hypotheses.map(({ words, maps, score: logProbability, ended }) => {
    const likeness = start.worth ? likenessOf(words, start.worth, model.rarity) : 0;
    const score = logProbability / (words.length + 1) ** model.length_penalty
      + model.consensus_weight * likeness - (ended ? 0 : UNENDED);
    const confidence = model.confidence
      ? confidenceOf(logProbability / (words.length + 1), likeness, start.detail, model.confidence) : undefined;
    return { words, maps, logProbability, score, confidence };
  });
  const faulty = ({ words }) => isFaulty(words.map((number) => model.vocabulary[number]), model.fault_words);
  const right = captions.filter((caption) => !faulty(caption));
  if (right.length) return best(right, 1)[0];
  const [caption] = best(captions, 1);
  return { ...caption, score: caption.score - FAULT };
}
