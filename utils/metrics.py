"""Caption scores as pycocoevalcap computes them."""

import contextlib
import io
import shutil

from utils.errors import InputError
from utils.tokenizer import split_words

# METEOR is a Java program; the others are Python.
SCORERS = ("Bleu", "METEOR", "ROUGE_L", "CIDEr")


def _scorer(name):
    # Imported here because the package is large, and only scores need it.
    if name == "Bleu":
        from pycocoevalcap.bleu.bleu import Bleu

        return Bleu(4)
    if name == "METEOR":
        from pycocoevalcap.meteor.meteor import Meteor

        return Meteor()
    if name == "ROUGE_L":
        from pycocoevalcap.rouge.rouge import Rouge

        return Rouge()
    from pycocoevalcap.cider.cider import Cider

    return Cider()


def evaluate(references, candidates, which=None):
    """Score candidate captions against references.

    Both are split into words as pycocoevalcap does it, lower-cased and without
    punctuation. BLEU: Papineni et al., 2002; METEOR: Denkowski and Lavie, 2014;
    ROUGE-L: Lin, 2004; CIDEr: Vedantam et al., 2015, whose document
    frequencies come from the references given, so a subset's CIDEr is not the
    whole's.

    Args:
        references: captions people gave, a list of strings by image id.
        candidates: the caption to score, a string by image id.
        which: names of `SCORERS`; all that this machine can run if None.

    Returns:
        A dict with pycocoevalcap's names: Bleu_1 … Bleu_4, METEOR, ROUGE_L, CIDEr.

    Raises:
        InputError: the images of both are not the same.
    """
    if references.keys() != candidates.keys():
        missing, extra = len(references.keys() - candidates.keys()), len(candidates.keys() - references.keys())
        raise InputError(f"captions and references do not match: {missing} images without caption, {extra} unknown")
    if not references:
        raise InputError("there are no captions to score")
    if which is None:
        which = [name for name in SCORERS if name != "METEOR" or shutil.which("java")]
    truth = {i: [" ".join(split_words(text)) for text in texts] for i, texts in references.items()}
    written = {i: [" ".join(split_words(text))] for i, text in candidates.items()}
    scores = {}
    for name in which:
        with contextlib.redirect_stdout(io.StringIO()):
            score, _ = _scorer(name).compute_score(truth, written)
        scores |= {f"Bleu_{n}": float(s) for n, s in enumerate(score, 1)} if name == "Bleu" else {name: float(score)}
    return scores
