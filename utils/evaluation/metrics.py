"""Compute caption scores with pycocoevalcap, for the whole corpus and for each image."""

import atexit
import functools
import importlib.util
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.data.penn_treebank import tokenize
from utils.errors import InputError

# Names of the scorers. METEOR and SPICE are Java programs; the others are Python code.
SCORERS = ("Bleu", "METEOR", "ROUGE_L", "CIDEr", "SPICE")
_JAVA = ("METEOR", "SPICE")

# Constants in pycocoevalcap's BLEU, which prevent a division by zero.
_TINY, _SMALL = 1e-15, 1e-9


@dataclass(frozen=True)
class Scores:
    """Hold the scores of captions against references.

    Args:
        ids: image ids, in the order of the arrays.
        corpus: a dict from score name, such as "Bleu_4" or "CIDEr", to the score of all images together.
        images: a dict from score name to the score of each image, float (images,).
        bleu_counts: counts from which BLEU is computed, float (images, 10). Columns 0 to 3: n-grams of 1 to 4 words
            that match a reference. Columns 4 to 7: all n-grams of 1 to 4 words of the caption. Column 8: words of the
            caption. Column 9: words of the reference whose length is closest to the caption's.
    """

    ids: tuple
    corpus: dict
    images: dict
    bleu_counts: np.ndarray

    def weighted(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the corpus scores if each image has a weight. A bootstrap needs this: its resamples repeat images.

        - BLEU is computed from the weighted sums of `bleu_counts`.
        - Every other score is the weighted mean over the images, plus the difference between the corpus score and the
          unweighted mean. So equal weights give exactly the corpus score. With other weights, METEOR is approximate,
          because its corpus score is not a mean over images.

        Args:
            weights: weight of each image in each resample, float (resamples, images).

        Returns:
            A dict from score name to scores, float (resamples,).
        """
        result = {}
        if "Bleu_1" in self.corpus:
            result = {f"Bleu_{n}": score for n, score in enumerate(bleu_of_counts(weights @ self.bleu_counts), 1)}
        for name in self.corpus.keys() - result.keys():
            values = self.images[name]
            result[name] = weights @ values / weights.sum(1) + (self.corpus[name] - values.mean())
        return result


def bleu_of_counts(counts: np.ndarray) -> list[np.ndarray]:
    """Compute BLEU-1 to BLEU-4 (Papineni et al., 2002) from counts of n-grams and words.

    Args:
        counts: for each sample of captions, the sums of ten counts, float (samples, 10). Columns 0 to 3: n-grams of 1
            to 4 words that match a reference. Columns 4 to 7: all n-grams of 1 to 4 words. Column 8: words of the
            captions. Column 9: words of the references whose length is closest.

    Returns:
        A list of four arrays, float (samples,).
    """
    matching, written, length, closest = counts[:, :4], counts[:, 4:8], counts[:, 8], counts[:, 9]
    precision = np.cumprod((matching + _TINY) / (written + _SMALL), 1)
    ratio = (length + _TINY) / (closest + _SMALL)
    penalty = np.exp(np.minimum(0, 1 - 1 / ratio))
    return [precision[:, n] ** (1 / (n + 1)) * penalty for n in range(4)]


@functools.cache
def available() -> tuple[tuple[str, ...], dict[str, str]]:
    """Find out which scorers, such as METEOR, this machine can run. Some need Java.

    Returns:
        (names, missing): a tuple of the names of the scorers that can run, and a dict from the name of each other
        scorer to the reason why it cannot run.
    """
    missing = {}
    if not _java_runs():
        missing = dict.fromkeys(_JAVA, "needs java (Debian: default-jre-headless)")
    else:
        package = Path(importlib.util.find_spec("pycocoevalcap").submodule_search_locations[0])
        if not (package / "spice" / "lib" / "stanford-corenlp-3.6.0-models.jar").exists():
            missing["SPICE"] = (
                "needs Stanford's models; fetch: get_stanford_models() of pycocoevalcap.spice.get_stanford_models"
            )
    return tuple(name for name in SCORERS if name not in missing), missing


def _java_runs():
    # On a fresh Mac, a program named java only says where Java is available.
    return bool(shutil.which("java")) and not subprocess.run(["java", "-version"], capture_output=True).returncode


def evaluate(
    references: dict[str, list[str]], candidates: dict[str, str], which: Iterable[str] | None = None
) -> dict[str, float]:
    """Score captions against references, and return only the scores of all images together.

    Args:
        references: a dict from image id to a list of one or more captions by people.
        candidates: a dict from image id to the caption to score.
        which: names of scorers, some of "Bleu", "METEOR", "ROUGE_L", "CIDEr" and "SPICE". None: all scorers that this
            machine can run.

    Returns:
        A dict from score name, such as "Bleu_4", to float.
    """
    return score(references, candidates, which).corpus


def score(references: dict[str, list[str]], candidates: dict[str, str], which: Iterable[str] | None = None) -> Scores:
    """Score captions against references. Every score of an empty caption is 0.

    Captions and references are split into the same words as by pycocoevalcap's Java program, but without Java. The
    scores come from these papers:

    - BLEU: Papineni et al., 2002.
    - METEOR: Denkowski and Lavie, 2014.
    - ROUGE-L: Lin, 2004.
    - CIDEr: Vedantam et al., 2015, with the clipping and the length penalty of CIDEr-D, as in pycocoevalcap. Its
      document frequencies come from the given references. So the CIDEr of an image depends on the other images, and the
      CIDEr of a single image is 0.
    - SPICE: Anderson et al., 2016.

    Args:
        references: a dict from image id to a list of one or more captions by people.
        candidates: a dict from image id to the caption to score.
        which: names of scorers, some of "Bleu", "METEOR", "ROUGE_L", "CIDEr" and "SPICE". None: all scorers that this
            machine can run.

    Returns:
        A Scores: the scores of all images together, and of each image.

    Raises:
        InputError: references and candidates have different images, or an image has no references.
    """
    _check(references, candidates)
    ids = tuple(references)
    truth = {i: [" ".join(tokenize(text)) for text in references[i]] for i in ids}
    written = {i: [" ".join(tokenize(candidates[i]))] for i in ids}
    corpus, images, counts = {}, {}, np.zeros((len(ids), 10))
    for name in SCORERS:
        if name not in (available()[0] if which is None else which):
            continue
        if name == "Bleu":
            corpus |= _score_bleu(truth, written, images, counts)
        else:
            corpus[name], images[name] = _run(name, truth, written)
    empty = np.array([not written[i][0] for i in ids])
    for values in images.values():
        values[empty] = 0
    return Scores(ids, corpus, images, counts)


def _check(references, candidates):
    if references.keys() != candidates.keys():
        missing, extra = len(references.keys() - candidates.keys()), len(candidates.keys() - references.keys())
        raise InputError(
            f"captions and references do not match: {missing} images without caption, {extra} unknown; give one "
            "caption for each image"
        )
    if not references:
        raise InputError("there are no captions to score")
    mute = [str(i) for i, texts in references.items() if not texts]
    if mute:
        raise InputError(f"{len(mute)} images have no references, such as {mute[0]}; leave them out")


def _score_bleu(truth, written, images, counts):
    # pycocoevalcap's class Bleu prints, so the BleuScorer inside it is used.
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=4)
    for i in truth:
        scorer += (written[i][0], truth[i])
    corpus, by_image = scorer.compute_score(option="closest")
    images |= {f"Bleu_{n}": np.array(values) for n, values in enumerate(by_image, 1)}
    for row, counted in zip(counts, scorer.ctest):
        length = counted["testlen"]
        closest = min((abs(other - length), other) for other in counted["reflen"])[1]
        row[:] = [*counted["correct"], *counted["guess"], length, closest]
    return {f"Bleu_{n}": float(value) for n, value in enumerate(corpus, 1)}


@functools.cache
def _meteor():
    """Start pycocoevalcap's METEOR, a Java program, and return its Python object `Meteor`.

    The program is started only once, because the start takes seconds.
    """
    from pycocoevalcap.meteor.meteor import Meteor

    atexit.register(_meteor.cache_clear)  # end the program before Python unloads the modules that this needs
    return Meteor()


def _run(name, truth, written):
    """Run one of pycocoevalcap's scorers.

    Args:
        name: "METEOR", "ROUGE_L", "CIDEr" or "SPICE".
        truth: a dict from image id to a list of references, each a str of words joined by spaces.
        written: a dict from image id to a list with the caption, a str of words joined by spaces.

    Returns:
        (score of all images together, a float; score of each image, float (images,)).
    """
    # Imported here because the package is large and only scores need it.
    if name == "METEOR":
        Scorer = _meteor
    elif name == "ROUGE_L":
        from pycocoevalcap.rouge.rouge import Rouge as Scorer
    elif name == "CIDEr":
        from pycocoevalcap.cider.cider import Cider as Scorer
    else:
        from pycocoevalcap.spice.spice import Spice as Scorer
    scorer = Scorer()
    try:
        corpus, images = scorer.compute_score(truth, written)
    except BaseException as error:
        if name == "METEOR":
            _meteor.cache_clear()  # after Ctrl-C, the program may have stopped in the middle of an answer
            if scorer.lock.locked():
                scorer.lock.release()  # otherwise ending the program would wait for the lock for ever
        if not isinstance(error, (OSError, ValueError, subprocess.SubprocessError)):
            raise
        raise InputError(f"{name}: its Java program failed ({error}); repair java or remove it from the PATH") from None
    if name == "SPICE":
        # SPICE returns the images in sorted order.
        images = dict(zip(sorted(truth), (scores["All"]["f"] for scores in images)))
        images = [images[i] for i in truth]
    return float(corpus), np.array(images, float)
