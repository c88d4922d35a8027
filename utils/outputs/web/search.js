// Beam search as `beam_search` of utils/model/search.py, for one photo.

const IMPOSSIBLE = -1e9;
const UNENDED = 1e3;

// The next words that would make a hypothesis repeat a sequence of `length` words.
export function repeatingWords(words, length) {
  const before = length - 1;
  const last = words.slice(-before).join();
  const repeating = new Set();
  for (let at = 0; words.length >= before && at + before < words.length; at++) {
    if (words.slice(at, at + before).join() === last) repeating.add(words[at + before]);
  }
  return repeating;
}

// The best `count` of extensions, best first; of equal ones the earlier one.
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

// All one-word extensions of all hypotheses.
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

// How well a caption meets what people would say of the photo: `Consensus.likeness`.
function likeness(words, worth, rarity) {
  let sum = 0;
  let squares = 0;
  for (const word of words) {
    sum += worth[word];
    squares += rarity[word] ** 2 * words.filter((other) => other === word).length;
  }
  return sum / Math.max(Math.sqrt(squares), 1e-12);
}

// The best caption of a photo.
//   model: what model.json holds.
//   start: `hidden` and `cell` before the first word, of one hypothesis, and `worth` where there is a consensus.
//   step(words, hidden, cell): one word on; arrays of hypothesis after hypothesis.
// Returns the words' numbers and a map (rows × columns) for each.
export async function beamSearch(model, start, step) {
  const { special, beam_size: beam } = model;
  const units = start.hidden.length;
  // At first all hypotheses are the same: only one of them may branch out.
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
  const rank = ({ words, score, ended }) => (
    score / (words.length + 1) ** model.length_penalty
    + (start.worth ? model.consensus_weight * likeness(words, start.worth, model.rarity) : 0)
    - (ended ? 0 : UNENDED)
  );
  return best(hypotheses.map((hypothesis) => ({ hypothesis, score: rank(hypothesis) })), 1)[0].hypothesis;
}
