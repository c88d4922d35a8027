"""Statistics of attention: its spread on photos, and its mass in the boxes of drawn scenes."""

from collections import defaultdict

import numpy as np

from utils.data import shapes


def spread(captions):
    """Statistics of attention that need no boxes.

    Args:
        captions: objects with `words` and `attention`, float (words, rows, columns).

    Returns:
        A dict, empty without words: `entropy` (mean over words; 1 for uniform attention, 0 for a single region),
        `coverage` (share of a photo's regions in which a word has more than uniform attention, mean over photos),
        `peak` (largest attention of a word relative to uniform attention, mean over words).
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
    """Attention in the box of correctly named objects, by the kind of word.

    Pointing game: Zhang et al., "Top-down neural attention by excitation backprop", 2016.

    Args:
        scenes: list of shapes.Scene.
        captions: for each scene an object with `words` and `attention`, float (words, rows, columns).

    Returns:
        A dict with the keys "shape", "colour" and "other" (the word before the colour). Each value is a dict: `words`
        (count), `mass` (mean attention in the box), `gain` (mass relative to uniform attention), `pointing` (share of
        words whose most attended region lies in the box).
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
