"""Compare the tokens with those of pycocoevalcap's Java program."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from utils.data.penn_treebank import tokenize


def java_tokens(captions):
    """Split captions with the Java program.

    "A x" is added after each caption, because the Java program looks at the
    next caption to decide how a caption ends.
    """
    if not shutil.which("java"):
        pytest.skip("needs java")
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    lines = {n: [{"caption": text}] for n, text in enumerate(x for caption in captions for x in (caption, "A x"))}
    tokens = PTBTokenizer().tokenize(lines)
    return [tokens[2 * n][0] for n in range(len(captions))]


def test_every_caption_of_flickr8k_and_coco_has_the_tokens_of_the_java_program(shared):
    lines = (shared / "flickr8k" / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines()
    captions = [line.split("\t")[1] for line in lines]
    for year in ("val2017", "train2017"):
        content = json.loads((shared / "coco" / "annotations" / f"captions_{year}.json").read_text(encoding="utf-8"))
        captions += [annotation["caption"].replace("\n", " ") for annotation in content["annotations"]]
    assert len(captions) == 65_574
    different = [(c, t) for c, t in zip(captions, java_tokens(captions)) if " ".join(tokenize(c)) != t]
    assert different == []


def golden():
    """Read a list of (caption, tokens). The captions were written for this test, the tokens are the Java program's."""
    lines = (Path(__file__).parent / "golden_tokens.tsv").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("\t")) for line in lines]


@pytest.mark.parametrize("caption, tokens", golden())
def test_captions_have_the_stored_tokens_of_the_java_program(caption, tokens):
    assert " ".join(tokenize(caption)) == tokens


def test_the_java_program_still_gives_these_tokens():
    captions, tokens = zip(*golden())
    assert java_tokens(captions) == list(tokens)


def test_no_java_is_needed():
    assert tokenize("The dog's ball (red), isn't it?!") == [
        "the", "dog", "'s", "ball", "-lrb-", "red", "-rrb-", "is", "n't", "it", "?!",
    ]  # fmt: skip


def test_line_ends_within_a_caption_are_spaces():
    assert tokenize("a dog\nruns\r\nfast\u2028now\x85here") == ["a", "dog", "runs", "fast", "now", "here"]


def test_the_placeholder_character_in_a_caption_does_no_harm():
    assert tokenize("a \ue000 dog no. 5 \ue000") == ["a", "dog", "no.", "5"]


def test_nltk_is_imported_only_when_a_sentence_is_split():
    """The import takes a second, and captioning does not need it."""
    code = (
        "import sys, utils.data.tokenizer as t; assert 'nltk' not in sys.modules; "
        "t.split_words('a dog'); assert 'nltk' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
