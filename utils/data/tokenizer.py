"""Split sentences into words by the rules of the Penn Treebank, and convert words to numbers and back."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from utils.data import penn_treebank
from utils.errors import InputError

PAD, START, END, UNKNOWN = range(4)
SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unk>")


def split_words(text: str) -> list[str]:
    """Split a sentence into lower-case words. Punctuation, brackets and smileys are left out.

    The words are the tokens of the Penn Treebank, so "dog's" becomes two words.

    Example:
        >>> split_words("The dog's ball (red).")
        ['the', 'dog', "'s", 'ball', 'red']
    """
    return [token for token in penn_treebank.tokenize(text) if token in "#&$%" or _is_word(token)]


def _is_word(token):
    return token not in penn_treebank.BRACKETS.values() and any(character.isalnum() for character in token)


def join_words(words: Iterable[str]) -> str:
    """Join words into a sentence that begins with a capital letter and ends with a full stop.

    Short forms such as "n't" and "'s" are joined to the word before them.

    Example:
        >>> join_words(["the", "dog", "'s", "ball"])
        "The dog's ball."
    """
    text = re.sub(r" ('(?:s|m|d|ll|re|ve)|n't)\b", r"\1", " ".join(words))
    return text[:1].upper() + text[1:] + "." if text else ""


class Tokenizer:
    """Convert captions to word numbers and back. A word's number is its place in the vocabulary, from 0.

    Args:
        words: all words of the vocabulary in the order of their numbers. The first are `SPECIAL_WORDS`.

    Attributes:
        words: the words as a list.
        number: a dict from each word to its number.

    Raises:
        InputError: the words do not begin with `SPECIAL_WORDS`, or a word occurs twice.

    Example:
        >>> tokenizer = Tokenizer.fit(["A dog runs.", "A dog sits."], min_word_count=2)
        >>> tokenizer.words
        ['<pad>', '<start>', '<end>', '<unk>', 'a', 'dog']
        >>> tokenizer.encode("A dog runs.")
        [4, 5, 3]
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = list(words)
        if tuple(self.words[:4]) != SPECIAL_WORDS or len(set(self.words)) != len(self.words):
            raise InputError(f"a vocabulary must begin with {' '.join(SPECIAL_WORDS)} and contain each word once")
        self.number = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def fit(cls, captions: Iterable[str], min_word_count: int = 5) -> "Tokenizer":
        """Make a Tokenizer with the words of training captions.

        Args:
            captions: the captions.
            min_word_count: words that occur fewer times are left out.

        Returns:
            A Tokenizer. After `SPECIAL_WORDS`, the most frequent words come first.

        Raises:
            InputError: no word occurs `min_word_count` times.
        """
        counts = Counter(word for caption in captions for word in split_words(caption))
        kept = sorted(
            (word for word, count in counts.items() if count >= min_word_count), key=lambda w: (-counts[w], w)
        )
        if not kept:
            raise InputError(f"no word occurs {min_word_count} times in the training captions: lower --min_word_count")
        return cls([*SPECIAL_WORDS, *kept])

    def encode(self, caption: str) -> list[int]:
        """Return the numbers of a caption's words, without <start> and <end>. An unknown word gets <unk>'s number."""
        return [self.number.get(word, UNKNOWN) for word in split_words(caption)]

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Return the words with these numbers. At the first <end> or <pad>, the list of words ends."""
        words = []
        for number in numbers:
            if number in (END, PAD):
                break
            words.append(self.words[number])
        return words

    def save(self, path: str | Path) -> None:
        """Write the vocabulary to a text file, one word per line."""
        Path(path).write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Make a Tokenizer from a file that `save` has written.

        Raises:
            InputError: the words do not begin with `SPECIAL_WORDS`, or a word occurs twice.
        """
        return cls(Path(path).read_text(encoding="utf-8").split("\n")[:-1])
