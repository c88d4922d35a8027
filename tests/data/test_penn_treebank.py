"""Our tokens are the ones of pycocoevalcap's Java program."""

import json
import shutil

import pytest

from utils.data.penn_treebank import tokenize


def java_tokens(captions):
    """What pycocoevalcap makes of captions; "A x" between them, as what follows a caption decides on its end."""
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


ODD = [
    "Don't, can’t, cannot, won't, she'd've: the dogs' bowl isn`t John's",
    "'Tis rock'n'roll, slip 'n slide o'clock y'all ma'am d'oh ol' Hawai'i the '60s",
    'It says "hello" and “hi” — or ‘no’ … a -- b - c a-b-c co-op- 20-foot-long',
    "Mr. and Mrs. Smith of 12 St. James Ave., Washington D.C. in the U.S. Army at 5 a.m. etc.",
    "an ant 's-eye-view, a (very [odd] {thing}) of 5' 6\"",
    "22 3/4 of 1,000.50 at 5:54pm, 5pm, 1st 3D 4x4 -5 ½ no. 5 and no. five",
    "a/b AT&T B&B & x &amp; y a*b **c** $5 £5 €5 5¢ 7% #7 #tag @home C++ A$ US$",
    "mail a@b.com or http://www.example.com/x, see example.com. <b>bold</b> < > a < b",
    "wow!!! what?! no.. yes..... :) :-( ;-) ^_^ <3",
    "😀 a dog 🐕 runs ❤ in café Zoë naïve",
    "Ein Hündchen läuft über die Straße. 日本語のテキスト 犬。Привет, мир! हिन्दी",
    "a b _ a_b __ ~ ^ | + = \\ § ° ™ ² ×",
    "ends with a letter S.",
    "",
    " . ",
]


def test_odd_text_has_the_tokens_of_the_java_program():
    assert [" ".join(tokenize(text)) for text in ODD] == java_tokens(ODD)


def test_no_java_is_needed():
    assert tokenize("The dog's ball (red), isn't it?!") == [
        "the", "dog", "'s", "ball", "-lrb-", "red", "-rrb-", "is", "n't", "it", "?!",
    ]  # fmt: skip


def test_line_ends_within_a_caption_are_spaces():
    assert tokenize("a dog\nruns\r\nfast\u2028now\x85here") == ["a", "dog", "runs", "fast", "now", "here"]
