// Finds faulty captions, as `fault` of utils/model/caption_faults.py.

// Returns whether a caption breaks off or names the same thing twice.
//   words: the words of the caption.
//   lists: `fault_words` of model.json, the word lists of caption_faults.py.
export function isFaulty(words, lists) {
  const last = words.at(-1);
  if (lists.never_last.includes(last)) return true;
  if (lists.colours.includes(last) && ["a", "the"].includes(words.at(-2))) return true;
  return words.some((word, place) => {
    const before = words[place - 1];
    if (lists.function_words.includes(word) || !words.slice(0, place).includes(word)) return false;
    if (lists.colours.includes(word)) return before === "and" && words[place - 2] === word;
    // Only a noun counts, not a word before a noun: "a soccer player with a soccer ball" is correct.
    const after = words[place + 1] ?? "and";
    return lists.before_nouns.includes(before) && (lists.function_words.includes(after) || after.endsWith("ing"));
  });
}
