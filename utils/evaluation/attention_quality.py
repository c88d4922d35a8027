"""Compute statistics of attention: how far it spreads, and how much of it lies in the boxes of named objects."""

from collections import defaultdict

import numpy as np

from utils.data import shapes


def spread(captions):
    """Compute how far attention spreads over the photo.

    The statistics compare it with uniform attention: the same attention on every region.

    Args:
        captions: list of objects with `words` and `attention`, float (words, rows, columns).

    Returns:
        A dict. It is empty if there are no words, or only one region.

        - `entropy`: entropy of a word's attention divided by that of uniform attention; mean over words. It is 1 for
          uniform attention, and 0 for attention on a single region.
        - `coverage`: share of the regions that get more than uniform attention from at least one word; mean over
          photos.
        - `peak`: largest attention of a word, divided by uniform attention; mean over words.
    """
    maps = [caption.attention.reshape(len(caption.words), -1) for caption in captions if len(caption.words)]
    if not maps or maps[0].shape[1] < 2:
        return {}
    regions = maps[0].shape[1]
    words = np.concatenate(maps)
    entropy = -(words * np.log(np.maximum(words, 1e-12))).sum(1) / np.log(regions)
    return {
        "entropy": float(entropy.mean()),
        "coverage": float(np.mean([(attention > 1 / regions).any(0).mean() for attention in maps])),
        "peak": float(words.max(1).mean() * regions),
    }


def by_word_kind(scenes, captions):
    """Compute how much attention lies in the boxes of named objects in generated pictures, for each kind of word.

    A caption names an object by colour and shape, as in "a red star". Only objects that the caption names correctly are
    measured. Pointing is that of Zhang et al., "Top-down neural attention by excitation backprop", 2016.

    Args:
        scenes: list of shapes.Scene, pictures of coloured shapes.
        captions: a list with an object for each scene. It has the attributes `words` and `attention`, float (words,
            rows, columns).

    Returns:
        A dict. Its keys are the kinds of words: "shape", "colour" and "other" (the word before the colour). Each value
        is a dict with the keys:

        - `words`: number of words.
        - `mass`: attention in the box, 0 to 1; mean over words.
        - `gain`: mass divided by the share of the scene that the box covers; mean over words.
        - `pointing`: share of words whose most attended region has more than half of its area in the box.
    """
    found = defaultdict(list)
    for scene, caption in zip(scenes, captions):
        boxes = {(o.colour, o.shape): o.box for o in scene.objects}
        for colour, shape, position in shapes.find_mentions(caption.words):
            if (colour, shape) not in boxes:
                continue
            share = shapes.box_coverage(boxes[colour, shape], *caption.attention.shape[1:])
            for kind, place in (("shape", position), ("colour", position - 1), ("other", position - 2)):
                if place >= 0:
                    attention = caption.attention[place]
                    mass = float((attention * share).sum())
                    found[kind].append((mass, mass / share.mean(), share.flat[attention.argmax()] > 0.5))
    return {
        kind: dict(zip(("words", "mass", "gain", "pointing"), (len(rows), *map(float, np.mean(rows, 0)))))
        for kind, rows in found.items()
    }
