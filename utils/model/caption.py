"""The class `Caption`, which is the result for one photo, and the message about captions without words."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Caption:
    """Holds a caption of one photo.

    Args:
        path: the photo's file; None for an image or array without a file.
        text: the caption as a sentence.
        words: the caption's words as the model wrote them.
        log_probability: natural logarithm of the probability of all words and the end.
        attention: attention weights of each word, float32 (words, rows, columns). The weights of a word sum to 1.
        score: the number that ranks the captions of a photo; higher is better. It is the log-probability, divided by
            (number of words + 1) ** 0.9. Some models have a consensus, which predicts the words that people would use
            (see `utils.model.consensus`). They divide by (number of words + 1) and add 6 times the likeness, which
            tells how well the caption agrees with these words. Captions that break off or name the same thing twice
            get at least 1000 less.
        photo: the photo as a PIL image, if the caller passed an image or array; None for files.
        confidence: probability, 0 to 1, that a person would call the caption right, or right in its main point.
            None for models without confidence and for captions sampled at random.
    """

    path: Path | None
    text: str
    words: tuple[str, ...]
    log_probability: float
    attention: np.ndarray = field(repr=False)
    score: float | None = None
    photo: Image.Image | None = field(default=None, repr=False)
    confidence: float | None = None


def empty_note(empty, total):
    """Write a message for the user about captions without words.

    Search writes at least one word. A caption without words means that the network computes infinities or NaN.

    Args:
        empty: number of captions without words.
        total: number of all captions.

    Returns:
        The message, a string; None if `empty` is 0.

    Example:
        >>> empty_note(1, 3)
        '1 of 3 captions is empty'
    """
    if not empty:
        return None
    if empty < total:
        return f"{empty} of {total} captions {'is' if empty == 1 else 'are'} empty"
    return "the model writes only empty captions: it is damaged or was not trained; use another one, or train it again"
