"""The captioner's result for one photo, and a check for captions without words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Caption:
    """A caption of one photo.

    Args:
        path: the photo's file; None for an image or array without a file.
        text: the caption as a sentence.
        words: the caption's words as the model wrote them.
        log_probability: natural logarithm of the probability of all words and the end.
        attention: attention weights of each word, float32 (words, rows, columns); they sum to 1 over the photo.
        score: the number that ranks the captions of a photo; higher is better. It is the mean log-probability per
            word. A model with a consensus adds the weighted likeness to the captions people are expected to write.
            Captions that break off or name the same thing twice have a score lower by 1000.
        photo: the photo as a PIL image, if the caller passed an image or array; None for files.
        confidence: probability, 0 to 1, that a person would call the caption right, or right in its main point.
            None for models without confidence and for captions sampled at random.
    """

    path: Path | None
    text: str
    words: tuple[str, ...]
    log_probability: float
    attention: np.ndarray
    score: float | None = None
    photo: Image.Image | None = None
    confidence: float | None = None


def empty_note(empty, total):
    """A line that reports captions without words; None if there are none.

    Search always writes a word, so an empty caption means that the network computes values that are not numbers.

    Args:
        empty: number of captions without words.
        total: number of all captions.

    Example:
        >>> empty_note(1, 3)
        '1 of 3 captions is empty'
    """
    if not empty:
        return None
    if empty < total:
        return f"{empty} of {total} captions {'is' if empty == 1 else 'are'} empty"
    return "the model writes only empty captions: it is damaged or was not trained; use another one, or train it again"
