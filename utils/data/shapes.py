"""Generate the dataset `shapes`: pictures of coloured shapes, with captions and boxes.

The dataset needs no download. The correct captions and boxes are known exactly,
so a short training shows whether captions and attention are correct.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from utils.errors import InputError
from utils.files import exists, replacing

COLOURS = {
    "red": (214, 40, 40),
    "green": (38, 150, 62),
    "blue": (36, 80, 210),
    "yellow": (246, 208, 30),
    "purple": (134, 50, 170),
    "orange": (244, 130, 28),
    "black": (28, 28, 28),
    "white": (244, 244, 244),
}
SHAPES = ("circle", "square", "triangle", "star")

# Pairs of a colour and a shape that occur only in scenes of the split "unseen". They test whether a
# model can combine a colour and a shape that were never together in training scenes.
UNSEEN_PAIRS = frozenset({("red", "square"), ("green", "star"), ("blue", "triangle"), ("yellow", "circle")})

SIZE = 112  # width and height of a scene in pixels
COUNTS = {"train": 1400, "val": 100, "test": 300, "unseen": 200}  # scenes per split

# Increased when the drawing code changes, so that existing scenes are generated again.
VERSION = 4

# Scenes are drawn larger by this factor and then reduced, for smooth edges.
_SUPERSAMPLING = 3


@dataclass(frozen=True)
class Object:
    """Describe a shape in a scene.

    Args:
        colour: a key of `COLOURS`.
        shape: one of `SHAPES`.
        box: the square around the shape, (left, top, right, bottom), as fractions of the scene, 0 to 1.
    """

    colour: str
    shape: str
    box: tuple


@dataclass(frozen=True)
class Scene:
    """Describe a generated picture with its captions and objects.

    Args:
        id: a unique identifier, such as "seed-0/train-0000.png".
        path: the PNG file.
        split: "train", "val", "test" or "unseen". Scenes of "unseen" show pairs of colour and shape that no other split
            shows.
        references: a tuple of five captions.
        objects: a tuple of one or two Objects.
    """

    id: str
    path: Path
    split: str
    references: tuple
    objects: tuple


def corners(shape, centre, radius, angle):
    """Compute the corners of a shape.

    Args:
        shape: "triangle", "square", "pentagon" or "star".
        centre: the centre of the shape, a pair of floats (x, y). The y axis points down.
        radius: the distance from the centre to the outer corners, in the same unit as `centre`.
        angle: the clockwise rotation in radians. At 0, a corner is at the top.

    Returns:
        A list of points (x, y), in the same unit as `centre`.
    """
    points = {"triangle": 3, "square": 4, "pentagon": 5, "star": 10}[shape]
    turns = [angle + 2 * math.pi * i / points for i in range(points)]
    reach = [radius if shape != "star" or i % 2 == 0 else 0.42 * radius for i in range(points)]
    return [(centre[0] + r * math.sin(t), centre[1] - r * math.cos(t)) for r, t in zip(reach, turns)]


def _draw(objects, generator):
    """Make the picture of a scene. The background, small changes of colours and angles, and the noise are random.

    Args:
        objects: a list of (colour, shape, centre, radius), such as ("red", "star", (0.3, 0.5), 0.2). The centre
            (x, y) and the radius are fractions of the scene.
        generator: a NumPy random generator.

    Returns:
        A PIL image.
    """
    scale = SIZE * _SUPERSAMPLING
    background = generator.integers(110, 226, 3)
    image = Image.new("RGB", (scale, scale), tuple(int(v) for v in background))
    draw = ImageDraw.Draw(image)
    for colour, shape, (x, y), radius in objects:
        fill = tuple(int(np.clip(v + generator.integers(-20, 21), 0, 255)) for v in COLOURS[colour])
        if shape == "circle":
            draw.ellipse([v * scale for v in (x - radius, y - radius, x + radius, y + radius)], fill=fill)
        else:
            angle = generator.uniform(-0.25, 0.25) + (math.pi / 4 if shape == "square" else 0)
            points = corners(shape, (x, y), radius, angle)
            draw.polygon([(px * scale, py * scale) for px, py in points], fill=fill)
    image = image.resize((SIZE, SIZE), Image.Resampling.BOX)
    noise = generator.normal(0, 4, (SIZE, SIZE, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype("uint8"))


def _place(count, generator):
    """Choose random centres and radii of one or two objects that do not overlap.

    Args:
        count: the number of objects, 1 or 2.
        generator: a NumPy random generator.

    Returns:
        (centres, radii): a list of NumPy arrays (x, y) and an array of floats, both as fractions of the scene.
    """
    while True:
        radii = generator.uniform(0.19, 0.25, count)
        centres = [generator.uniform(r, 1 - r, 2) for r in radii]
        if count == 1 or np.hypot(*(centres[0] - centres[1])) > radii.sum() + 0.02:
            return centres, radii


def _relation(first, second):
    """Return where one object is relative to another, in words such as "above".

    Args:
        first, second: the centres of the two objects, as NumPy arrays (x, y). The y axis points down.
    """
    dx, dy = first - second
    if abs(dx) > abs(dy):
        return "to the left of" if dx < 0 else "to the right of"
    return "above" if dy < 0 else "below"


def _captions(names, centres):
    """Write five captions of a scene. Each of them names all objects.

    Args:
        names: a list of the names of one or two objects, such as "red star".
        centres: a list of the centres of the objects, as arrays (x, y).

    Returns:
        A tuple of five str.
    """
    if len(names) == 1:
        forms = ("a {}", "there is a {}", "a picture of a {}", "one {}", "a single {}")
        captions = [form.format(names[0]) for form in forms]
    else:
        (a, b), (p, q) = names, centres
        captions = [
            f"a {a} and a {b}",
            f"a {b} and a {a}",
            f"a {a} {_relation(p, q)} a {b}",
            f"a {b} {_relation(q, p)} a {a}",
            f"there is a {a} and a {b}",
        ]
    return tuple(caption.replace("a orange", "an orange") for caption in captions)


def draw_scene(split, generator):
    """Generate a random scene: a picture of one or two coloured shapes, and its captions.

    Args:
        split: "train", "val", "test" or "unseen". A scene of "unseen" has an object whose colour and shape are never
            together in other splits.
        generator: a NumPy random generator.

    Returns:
        (objects, captions, picture): a tuple of Objects, a tuple of five captions, and a PIL image.
    """
    pairs = [(c, s) for c in COLOURS for s in SHAPES]
    seen = [pair for pair in pairs if pair not in UNSEEN_PAIRS]
    count = int(generator.integers(1, 3))
    chosen = [seen[i] for i in generator.choice(len(seen), count, replace=False)]
    if split == "unseen":
        unseen = sorted(UNSEEN_PAIRS)
        chosen[int(generator.integers(count))] = unseen[generator.integers(len(unseen))]
    centres, radii = _place(count, generator)
    picture = _draw([(c, s, p, r) for (c, s), p, r in zip(chosen, centres, radii)], generator)
    captions = _captions([f"{colour} {shape}" for colour, shape in chosen], centres)
    boxes = [(p[0] - r, p[1] - r, p[0] + r, p[1] + r) for p, r in zip(centres, radii)]
    objects = tuple(Object(c, s, tuple(round(float(v), 4) for v in box)) for (c, s), box in zip(chosen, boxes))
    return objects, captions, picture


def draw_scenes(folder, seed, counts):
    """Generate scenes, pictures of coloured shapes, and write them to a folder, as PNG files and scenes.json.

    The same seed gives the same scenes. Another seed gives other scenes.

    Args:
        folder: the folder. It is created if it does not exist. Earlier scenes in it are replaced.
        seed: the random seed.
        counts: a dict from each split, such as "train", to the number of its scenes.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table = []
        for number, (split, count) in enumerate(counts.items()):
            generator = np.random.default_rng([seed, number])
            for index in range(count):
                objects, captions, picture = draw_scene(split, generator)
                name = f"{split}-{index:04d}.png"
                picture.save(folder / name, compress_level=1)
                table.append(
                    {"id": name, "split": split, "references": captions, "objects": [asdict(o) for o in objects]}
                )
        content = {"version": VERSION, "seed": seed, "counts": counts, "scenes": table}
        # Written last and atomically, so a folder with scenes.json is complete.
        with replacing(folder / "scenes.json") as temporary:
            temporary.write_text(json.dumps(content))
    except OSError as error:
        raise InputError(
            f"{folder}: the scenes cannot be written here ({error.strerror}); choose another --data_dir"
        ) from None


def load_scenes(folder, seed=0, counts=None):
    """Read the scenes of the dataset `shapes` from disk. They are generated first if they do not exist.

    Args:
        folder: the dataset's folder. The scenes of each seed are in a subfolder.
        seed: the random seed from which the scenes are generated.
        counts: a dict from each split, such as "train", to the number of its scenes; None for `COUNTS`.

    Returns:
        A list of Scene.

    Raises:
        InputError: the folder cannot be written.
    """
    counts = COUNTS if counts is None else counts
    path = Path(folder) / f"seed-{seed}" / "scenes.json"
    content = json.loads(path.read_text()) if exists(path) else {}
    if (content.get("version"), content.get("counts")) != (VERSION, dict(counts)):
        draw_scenes(path.parent, seed, counts)
        content = json.loads(path.read_text())
    return [
        Scene(
            f"seed-{seed}/{row['id']}",
            path.parent / row["id"],
            row["split"],
            tuple(row["references"]),
            tuple(Object(o["colour"], o["shape"], tuple(o["box"])) for o in row["objects"]),
        )
        for row in content["scenes"]
    ]


def find_mentions(words):
    """Find the objects that a caption of a scene names, such as "red star": a colour directly before a shape.

    Args:
        words: the caption's words, as a list.

    Returns:
        A list of (colour, shape, index of the shape's word).
    """
    return [(words[i - 1], word, i) for i, word in enumerate(words) if word in SHAPES and i and words[i - 1] in COLOURS]


def score_captions(scenes, captions):
    """Measure how well captions, and the attention at their words, agree with the objects in the scenes.

    A mention is a colour and a shape in a caption, such as "red star". It is right if the scene has such an object.

    Args:
        scenes: a list of Scene.
        captions: a list with an object for each scene. The object has the attributes `words`, a list of
            str, and `attention`, an array (words, rows, columns).

    Returns:
        A dict with five values:
            mentions: the number of mentions.
            right: the share of mentions that are right, 0 to 1.
            recall: the share of the scenes' objects that the captions mention, 0 to 1.
            attention_gain: the share of the attention at the word of the shape that is inside the object's
                box, divided by the share of the picture that the box covers. It is the mean over all
                right mentions. Uniform attention gives 1.
            pointing: the share of right mentions whose maximum of attention is in the object's box, 0 to 1.
    """
    right = total = named = objects = 0
    gains, hits = [], []
    for scene, caption in zip(scenes, captions):
        there = {(o.colour, o.shape): o.box for o in scene.objects}
        mentions = find_mentions(caption.words)
        total += len(mentions)
        objects += len(there)
        named += len(there.keys() & {mention[:2] for mention in mentions})
        for colour, shape, position in mentions:
            if (colour, shape) not in there:
                continue
            right += 1
            share = box_coverage(there[colour, shape], *caption.attention.shape[1:])
            attention = caption.attention[position]
            gains.append(float((attention * share).sum() / share.mean()))
            hits.append(bool(share.flat[attention.argmax()] > 0.5))
    return {
        "mentions": total,
        "right": right / max(1, total),
        "recall": named / max(1, objects),
        "attention_gain": float(np.mean(gains)) if gains else 0.0,
        "pointing": float(np.mean(hits)) if hits else 0.0,
    }


def box_coverage(box, rows, columns):
    """Compute which share of each cell is covered by a box. The cells are a grid that divides a picture evenly.

    Args:
        box: (left, top, right, bottom) as fractions of the picture.
        rows, columns: the number of rows and columns of the grid.

    Returns:
        A float array (rows, columns), 0 to 1.
    """

    def overlap(low, high, cells):
        edges = np.arange(cells + 1) / cells
        return np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) * cells

    left, top, right, bottom = box
    return np.outer(overlap(top, bottom, rows), overlap(left, right, columns))
