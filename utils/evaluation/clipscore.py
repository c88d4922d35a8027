"""Compute CLIPScore: how well captions fit their photos, measured with CLIP. The package open_clip_torch is needed."""

import importlib.util

import numpy as np

from utils.data.images import open_photo
from utils.errors import InputError

# CLIP model, text that is put before each caption, and factor of the score, as in the CLIPScore paper.
_MODEL, _PROMPT, _FACTOR = "ViT-B-32", "A photo depicts ", 2.5

_BATCH = 64


def load_clip():
    """Load CLIP, OpenAI's ViT-B/32 in the package OpenCLIP. At first use, the package downloads the weights (350 MB).

    Returns:
        Two functions. The first takes a list of paths of photos, the second a list of texts. Both return vectors, float
        (items, 512).

    Raises:
        InputError: the package is not installed.
    """
    if not importlib.util.find_spec("open_clip"):
        raise InputError("CLIPScore needs a package that is not installed: pip install open_clip_torch")
    import open_clip
    import torch

    model, _, prepare = open_clip.create_model_and_transforms(_MODEL, pretrained="openai")
    split = open_clip.get_tokenizer(_MODEL)
    model.eval()

    def encode_photos(paths):
        with torch.no_grad():
            return model.encode_image(torch.stack([prepare(open_photo(path)) for path in paths])).numpy()

    def encode_texts(texts):
        with torch.no_grad():
            return model.encode_text(split(texts)).numpy()

    return encode_photos, encode_texts


def clip_scores(paths, captions, references, clip):
    """Compute the mean CLIPScore and the mean RefCLIPScore (Hessel et al., 2021).

    Args:
        paths: list of paths of photos.
        captions: list with one caption for each photo.
        references: list with a list of captions by people for each photo.
        clip: two functions, which `load_clip` makes. The first converts a list of paths of photos to vectors, float
            (photos, 512). The second converts a list of texts to such vectors.

    Returns:
        (CLIPScore, RefCLIPScore), two floats.
    """
    encode_photos, encode_texts = clip
    fits, agrees = [], []
    for start in range(0, len(paths), _BATCH):
        block = slice(start, start + _BATCH)
        photos = _unit(encode_photos(paths[block]))
        written = _unit(encode_texts([_PROMPT + text for text in captions[block]]))
        fits += list(_FACTOR * np.maximum((photos * written).sum(1), 0))
        counts = [len(texts) for texts in references[block]]
        truth = _unit(encode_texts([_PROMPT + text for texts in references[block] for text in texts]))
        of_photo = np.split(truth, np.cumsum(counts)[:-1])
        agrees += [max(0, (vectors @ vector).max()) for vectors, vector in zip(of_photo, written)]
    fits, agrees = np.array(fits), np.array(agrees)
    return float(fits.mean()), float(np.mean(2 * fits * agrees / np.maximum(fits + agrees, 1e-12)))


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
