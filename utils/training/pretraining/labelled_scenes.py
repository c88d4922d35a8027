"""Generate scenes, pictures of coloured shapes, for pretraining an encoder, with labels for each region.

The scenes vary more than those of the built-in dataset `shapes` (`utils/data/shapes.py`): they have more sizes,
colours, backgrounds, light and shapes, and objects that hide each other. "Ground" means the background of a scene.
"""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from utils.data.shapes import COLOURS, SHAPES, UNSEEN_PAIRS, corners

# The shapes that captions name, and other shapes that the encoder must distinguish from them.
ALL_SHAPES = (*SHAPES, "ring", "cross", "pentagon", "half disc")

# Numbers of labels of a region; `draw_labelled` lists the labels.
SHAPE_LABELS = 1 + len(ALL_SHAPES)
COLOUR_LABELS = 1 + len(COLOURS) + 1
LABELS = SHAPE_LABELS + COLOUR_LABELS + 4

_SUPERSAMPLING = 2

# Side in pixels of the square in which the shares of a region are counted.
_CELL = 16

# Largest difference per channel between an object's colour and a named colour. In the built-in sample it is 20 at most.
_NAMED_WITHIN = 26

_NAMES = list(COLOURS)
_VALUES = np.array(list(COLOURS.values()), "float32")


def _nearest_name(colour):
    return int(np.abs(_VALUES - colour).sum(axis=1).argmin())


def _fill(shape, generator):
    """Choose a random colour for a shape.

    The dataset `shapes` keeps some pairs of colour and shape for its split `unseen`. These pairs are never
    chosen.

    Args:
        shape: name of the shape, one of ALL_SHAPES.
        generator: NumPy random generator.

    Returns:
        (colour, label). `colour` is float (3,), RGB, 0 to 255. `label` is the colour's index among the colour labels:
        1, 2, … for colours with a name, and the last index for other colours.
    """
    while True:
        if generator.random() < 0.8:
            colour = _VALUES[generator.integers(len(_NAMES))] + generator.integers(-_NAMED_WITHIN, _NAMED_WITHIN + 1, 3)
        else:
            colour = generator.uniform(0, 255, 3)
        colour = np.clip(colour, 0, 255)
        nearest = _nearest_name(colour)
        # A colour without a name counts as the nearest named colour here, so that no almost red square is drawn either.
        if (_NAMES[nearest], shape) not in UNSEEN_PAIRS:
            named = np.abs(_VALUES[nearest] - colour).max() <= _NAMED_WITHIN
            return colour, 1 + nearest if named else COLOUR_LABELS - 1


def _smooth_noise(generator, size, cells):
    """Make smooth random noise for backgrounds and shading: float32 (size, size), values from about -1 to 1.

    `generator` is a NumPy random generator. `cells` is the number of random values along each side; the noise between
    them is interpolated.
    """
    coarse = Image.fromarray(generator.uniform(-1, 1, (cells, cells)).astype("float32"))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _ground(generator, size):
    """Make the background of a scene: plain, shaded, striped, or with blurred spots.

    `generator` is a NumPy random generator. The result is RGB pixels, uint8 (size, size, 3).
    """
    colour = generator.integers(60, 246, 3).astype("float32")
    if generator.random() < 0.5:
        colour = colour.mean() + (colour - colour.mean()) * 0.5
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    angle = generator.uniform(0, 2 * math.pi)
    along = math.cos(angle) * across + math.sin(angle) * down
    kind = generator.integers(5)
    if kind < 2:
        pattern = np.zeros((size, size))
    elif kind == 2:
        pattern = along
    elif kind == 3:
        pattern = np.sin(along * generator.uniform(4, 30))
    else:
        pattern = _smooth_noise(generator, size, int(generator.integers(3, 16)))
    strength = generator.uniform(0, 35, 3)
    return np.clip(colour + pattern[..., None] * strength, 0, 255).astype("uint8")


def _mask(shape, centre, radius, angle, size):
    """Make the mask of a shape: a PIL image of mode L, 255 inside the shape and 0 outside.

    Args:
        shape: name of the shape, one of ALL_SHAPES.
        centre: (x, y) in pixels.
        radius: radius in pixels.
        angle: rotation in radians.
        size: width and height of the mask in pixels.
    """
    mask = Image.new("L", (size, size))
    draw, (x, y) = ImageDraw.Draw(mask), centre
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape in ("circle", "ring"):
        draw.ellipse(box, fill=255)
        if shape == "ring":
            inner = 0.55 * radius
            draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=0)
    elif shape == "half disc":
        degrees = math.degrees(angle)
        draw.pieslice(box, degrees, degrees + 180, fill=255)
    elif shape == "cross":
        for turn in (angle, angle + math.pi / 2):
            dx, dy = math.cos(turn) * radius, math.sin(turn) * radius
            draw.line((x - dx, y - dy, x + dx, y + dy), fill=255, width=max(1, round(0.55 * radius)))
    else:
        draw.polygon(corners(shape, centre, radius, angle), fill=255)
    return mask


def _place(generator):
    """Choose random centres and radii of a scene's objects. In 40 % of the scenes, objects are large and far apart.

    Args:
        generator: NumPy random generator.

    Returns:
        A list of (centre, radius), one per object. The centre is (x, y), float (2,). Centres and radii are fractions
        of the scene's side.
    """
    if generator.random() < 0.4:
        count, low, high, apart = int(generator.integers(1, 4)), 0.15, 0.3, 1.0
    else:
        count, low, high, apart = int(generator.integers(1, 7)), 0.09, 0.28, 0.7
    placed = []
    for _ in range(4 * count):
        radius = generator.uniform(low, high)
        centre = generator.uniform(0.7 * radius, 1 - 0.7 * radius, 2)
        if all(np.hypot(*(centre - c)) > apart * (radius + r) for c, r in placed):
            placed.append((centre, radius))
        if len(placed) == count:
            break
    return placed


def draw_labelled(generator, size, rows, columns):
    """Generate a random scene, a picture of coloured shapes, and compute the labels of its regions.

    Args:
        generator: NumPy random generator.
        size: width and height of the scene in pixels.
        rows, columns: numbers of rows and columns of the grid of regions.

    Returns:
        (pixels, labels). Pixels are uint8 (size, size, 3). Labels are float32 (rows, columns, LABELS). Their last axis
        has three parts:

        1. Shapes, SHAPE_LABELS values: the share of the region that is background, and the share of each of ALL_SHAPES.
        2. Colours, COLOUR_LABELS values: the share of the region that is background, the share of each of COLOURS, and
           the share of other colours.
        3. Box, 4 values: left, top, right and bottom of the object that covers the largest share of the region, as
           fractions of the scene's side. They are 0 if there is no object in the region.
    """
    large = size * _SUPERSAMPLING
    image = Image.fromarray(_ground(generator, large))
    numbers = Image.new("L", (columns * _CELL, rows * _CELL))
    shapes, colours, boxes = [0], [0], [(0.0, 0.0, 0.0, 0.0)]
    for number, (centre, radius) in enumerate(_place(generator), start=1):
        # Shapes that captions name are twice as frequent as the others.
        shape = ALL_SHAPES[generator.integers(len(SHAPES) if generator.random() < 0.33 else len(ALL_SHAPES))]
        colour, label = _fill(shape, generator)
        angle = generator.uniform(-0.4, 0.4)
        if shape == "square":
            angle += math.pi / 4
        elif shape in ("half disc", "cross", "pentagon"):
            angle = generator.uniform(0, 2 * math.pi)
        mask = _mask(shape, centre * large, radius * large, angle, large)
        fill = Image.new("RGB", (large, large), tuple(int(v) for v in colour))
        if generator.random() < 0.3:  # shaded
            shade = 1 + generator.uniform(0, 0.15) * _smooth_noise(generator, large, int(generator.integers(2, 6)))
            fill = Image.fromarray(np.clip(shade[..., None] * colour, 0, 255).astype("uint8"))
        image.paste(fill, mask=mask)
        numbers.paste(number, mask=mask.resize(numbers.size, Image.Resampling.NEAREST))
        shapes.append(1 + ALL_SHAPES.index(shape))
        colours.append(label)
        (x, y), r = centre, radius
        boxes.append((x - r, y - r, x + r, y + r))
    image = image.resize((size, size), Image.Resampling.BOX)
    if generator.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.2, 1.0)))
    light = generator.uniform(0.92, 1.08)
    noisy = np.asarray(image) * light + generator.normal(0, generator.uniform(0, 9), (size, size, 3))
    pixels = np.clip(noisy, 0, 255).astype("uint8")

    cells = np.asarray(numbers).reshape(rows, _CELL, columns, _CELL)
    cover = np.stack([(cells == n).mean(axis=(1, 3)) for n in range(len(shapes))], axis=-1).astype("float32")
    most = cover[..., 1:].argmax(axis=-1) + 1 if len(shapes) > 1 else np.zeros((rows, columns), int)
    most[cover[..., 0] == 1] = 0
    labels = [
        cover @ np.eye(SHAPE_LABELS, dtype="float32")[shapes],
        cover @ np.eye(COLOUR_LABELS, dtype="float32")[colours],
        np.array(boxes, "float32")[most],
    ]
    return pixels, np.concatenate(labels, axis=-1)
