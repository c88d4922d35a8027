import pytest

from utils.data.tokenizer import END, PAD, SPECIAL_WORDS, UNKNOWN, Tokenizer, join_words, split_words
from utils.errors import InputError


def test_words_are_penn_treebank_words_without_punctuation():
    assert split_words("The dog's ball, isn't (really) red.") == [
        "the",
        "dog",
        "'s",
        "ball",
        "is",
        "n't",
        "really",
        "red",
    ]
    assert split_words('Two dogs. One says "hi" !') == ["two", "dogs", "one", "says", "hi"]
    assert split_words("a t-shirt and a tri-colored dog") == ["a", "t-shirt", "and", "a", "tri-colored", "dog"]
    assert split_words("") == split_words(" . ") == []


def test_words_become_a_sentence_again():
    assert join_words(["the", "dog", "'s", "ball", "is", "n't", "red"]) == "The dog's ball isn't red."
    assert join_words([]) == ""


def test_rare_words_are_unknown_and_frequent_ones_come_first():
    tokenizer = Tokenizer.fit(["a dog", "a cat", "a dog"], min_word_count=2)
    assert tokenizer.words == [*SPECIAL_WORDS, "a", "dog"]
    assert tokenizer.encode("A dog, a cat.") == [4, 5, 4, UNKNOWN]


def test_decoding_stops_at_end_and_padding():
    tokenizer = Tokenizer.fit(["a dog"], 1)
    assert tokenizer.decode([4, 5, END, 4]) == ["a", "dog"]
    assert tokenizer.decode([5, PAD, 4]) == ["dog"]


def test_a_saved_vocabulary_can_be_loaded(tmp_path):
    tokenizer = Tokenizer.fit(["ein Hündchen läuft", "un café 日本 🐕"], 1)
    tokenizer.save(tmp_path / "vocabulary.txt")
    assert Tokenizer.load(tmp_path / "vocabulary.txt").words == tokenizer.words


def test_invalid_vocabularies_are_refused():
    with pytest.raises(InputError, match="lower --min_word_count"):
        Tokenizer.fit(["a dog"], 5)
    with pytest.raises(InputError, match="contain each word once"):
        Tokenizer([*SPECIAL_WORDS, "a", "a"])
