"""Score attention on photos: if a word names an object, how much of its attention is in the boxes of this object?"""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.data.images import photo_size
from utils.errors import InputError
from utils.evaluation.bootstrap import mean_interval

# Largest share of the photo that the boxes of a scored word may cover. In larger boxes, almost any attention is right.
LARGEST_SHARE = 0.5

KINDS = ("people", "animals", "things")

# The words of each kind of entity. An entity has the first kind with a common word; all other entities are things.
_KIND_WORDS = {
    "people": "person people man men woman women boy boys girl girls child children kid kids baby babies toddler "
    "toddlers infant lady ladies guy guys male female adult crowd team couple player players",
    "animals": "animal animals dog dogs puppy puppies cat cats bird birds horse horses cow cows sheep goat goats "
    "elephant elephants bear bears zebra zebras giraffe giraffes monkey fish insect",
}

# A dict from COCO's categories to the words that captions use for them. `_read_coco` adds plurals with "s".
_COCO_WORDS = {
    "person": "person people man men woman women boy girl child children kid baby babies lady ladies guy player rider "
    "skier surfer skateboarder snowboarder crowd group toddler batter pitcher catcher umpire",
    "bicycle": "bicycle bike",
    "car": "car vehicle",
    "motorcycle": "motorcycle motorbike bike",
    "airplane": "airplane plane jet aircraft",
    "bus": "bus buses",
    "train": "train",
    "truck": "truck vehicle",
    "boat": "boat ship sailboat canoe kayak",
    "traffic light": "light",
    "fire hydrant": "hydrant",
    "stop sign": "sign",
    "parking meter": "meter",
    "bench": "bench benches",
    "bird": "bird animal",
    "cat": "cat kitten animal",
    "dog": "dog puppy puppies animal",
    "horse": "horse animal",
    "sheep": "sheep lamb animal",
    "cow": "cow cattle bull animal",
    "elephant": "elephant animal",
    "bear": "bear animal",
    "zebra": "zebra animal",
    "giraffe": "giraffe animal",
    "backpack": "backpack bag",
    "umbrella": "umbrella",
    "handbag": "handbag purse bag",
    "tie": "tie",
    "suitcase": "suitcase luggage bag",
    "frisbee": "frisbee disc",
    "skis": "skis ski",
    "snowboard": "snowboard board",
    "sports ball": "ball",
    "kite": "kite",
    "baseball bat": "bat",
    "baseball glove": "glove mitt",
    "skateboard": "skateboard board",
    "surfboard": "surfboard board",
    "tennis racket": "racket racquet",
    "bottle": "bottle",
    "wine glass": "glass glasses wine",
    "cup": "cup mug",
    "fork": "fork",
    "knife": "knife knives",
    "spoon": "spoon",
    "bowl": "bowl",
    "banana": "banana fruit",
    "apple": "apple fruit",
    "sandwich": "sandwich sandwiches",
    "orange": "oranges fruit",  # without "orange", which is mostly a colour
    "broccoli": "broccoli vegetables",
    "carrot": "carrot vegetables",
    "hot dog": "hotdog",  # without "dog", which is mostly an animal
    "pizza": "pizza",
    "donut": "donut doughnut",
    "cake": "cake",
    "chair": "chair seat",
    "couch": "couch sofa couches",
    "potted plant": "plant",
    "bed": "bed",
    "dining table": "table",
    "toilet": "toilet",
    "tv": "tv television screen monitor",
    "laptop": "laptop computer",
    "mouse": "mouse",
    "remote": "remote controller",
    "keyboard": "keyboard",
    "cell phone": "phone cellphone",
    "microwave": "microwave",
    "oven": "oven stove",
    "toaster": "toaster",
    "sink": "sink",
    "refrigerator": "refrigerator fridge",
    "book": "book",
    "clock": "clock",
    "vase": "vase",
    "scissors": "scissors",
    "teddy bear": "teddy toy",
    "hair drier": "drier dryer",
    "toothbrush": "toothbrush",
}


@dataclass(frozen=True)
class Entity:
    """Hold an object in a photo: the words that name the object, and the boxes around it.

    Args:
        words: frozenset of lower-case words that name the object.
        boxes: left, top, right and bottom of each box, in pixels or as fractions of width and height, float (boxes, 4).
        kind: "people", "animals" or "things".
    """

    words: frozenset
    boxes: np.ndarray
    kind: str


@dataclass(frozen=True)
class PhotoBoxes:
    """Hold the objects of one photo, with their boxes.

    Args:
        entities: list of Entity, the objects. Their boxes are in pixels.
        size: width and height, in pixels, of the photo to which the boxes belong. None: those of the photo file.
    """

    entities: list
    size: tuple | None = None


def read_boxes(path):
    """Read boxes of named objects from a file or folder. data/README.md describes the three formats.

    Args:
        path: a JSON file {photo: [{"noun": …, "words": […], "boxes": […]}, …]}, COCO's `instances_*.json`, or the
            folder of Flickr30k Entities.

    Returns:
        A dict from a photo's file name to its PhotoBoxes. With COCO's format, the dict has each PhotoBoxes twice: under
        the photo's file name, and under the photo's number as a string.

    Raises:
        InputError: the path does not exist, or has none of these formats.
    """
    path = Path(path)
    if path.is_dir():
        return _read_flickr30k_entities(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of boxes") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({' '.join(str(error).split())[:100]})") from None
    try:
        boxes = _read_coco(content) if "annotations" in content else _read_plain(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: has neither boxes by photo nor COCO's instances ({type(error).__name__}: {error}); "
            "data/README.md describes the formats"
        ) from None
    if not boxes:
        raise InputError(f"{path}: holds no boxes")
    return boxes


def _entity(words, boxes, kind=None):
    words, boxes = frozenset(word.lower() for word in words), np.array(boxes, float).reshape(-1, 4)
    if not len(boxes) or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError(f"boxes of {'/'.join(sorted(words))}: expected left < right and top < bottom")
    if kind is None:
        kind = next((kind for kind, own in _KIND_WORDS.items() if words & set(own.split())), "things")
    return Entity(words, boxes, kind)


def _read_plain(content):
    return {
        Path(name).name: PhotoBoxes([_entity([each["noun"], *each["words"]], each["boxes"]) for each in entities])
        for name, entities in content.items()
    }


def _read_coco(content):
    categories, boxes = {}, {}
    for category in content["categories"]:
        name = category["name"]
        words = _COCO_WORDS.get(name, name.split()[-1]).split()
        # Wrong plurals such as "mans" do no harm: they occur in no caption.
        categories[category["id"]] = words + [word + "s" for word in words]
    by_image = {}
    for each in content["annotations"]:
        left, top, width, height = each["bbox"]
        if width > 0 and height > 0:
            own = by_image.setdefault(each["image_id"], {}).setdefault(each["category_id"], [])
            own.append((left, top, left + width, top + height))
    for image in content["images"]:
        own = by_image.get(image["id"], {})
        entities = [_entity(categories[category], each) for category, each in own.items()]
        if entities:
            found = PhotoBoxes(entities, (image["width"], image["height"]))
            boxes[Path(image["file_name"]).name] = boxes[str(image["id"])] = found
    return boxes


def _read_flickr30k_entities(folder):
    """Read the folder of the dataset Flickr30k Entities. Returns a dict from a photo's file name to its PhotoBoxes.

    `Annotations/ID.xml` holds the boxes of each object of a photo, and `Sentences/ID.txt` holds the words for them. In
    the sentences, an object has the form `[/EN#NUMBER/TYPE A PHRASE]`. `folder` is a Path.
    """
    boxes, files = {}, sorted((folder / "Annotations").glob("*.xml"))
    if not files:
        raise InputError(f"{folder}: no Flickr30k Entities here (Annotations/*.xml and Sentences/*.txt)")
    for file in files:
        sentences = folder / "Sentences" / f"{file.stem}.txt"
        try:
            root, text = ElementTree.parse(file).getroot(), sentences.read_text(encoding="utf-8")
            size, drawn, words, kinds = tuple(int(root.find(f"size/{n}").text) for n in ("width", "height")), {}, {}, {}
            for item in root.iter("object"):
                if (box := item.find("bndbox")) is not None:
                    corners = [float(box.find(side).text) for side in ("xmin", "ymin", "xmax", "ymax")]
                    for name in item.iter("name"):
                        drawn.setdefault(name.text, []).append(corners)
            for number, types, phrase in re.findall(r"\[/EN#(\d+)/(\S+) ([^\]]+)\]", text):
                # The last word of a noun phrase is the noun, as in "two young guys".
                words.setdefault(number, set()).add(phrase.split()[-1])
                kinds[number] = types.split("/")[0]
            entities = [
                _entity(words[number], own, kinds[number] if kinds[number] in KINDS else "things")
                for number, own in drawn.items()
                if number in words
            ]
        except (OSError, ElementTree.ParseError, AttributeError, ValueError) as error:
            raise InputError(f"{file}: not in the format of Flickr30k Entities ({error})") from None
        if entities:
            boxes[f"{file.stem}.jpg"] = PhotoBoxes(entities, size)
    return boxes


def find(boxes, photo):
    """Find the boxes of a photo by its file name or its id.

    Args:
        boxes: a dict from a photo's file name or id to its PhotoBoxes, the objects of the photo with their boxes.
        photo: an object with the attribute `path`, and perhaps `id`.

    Returns:
        A PhotoBoxes, or None if `boxes` does not have the photo.
    """
    return boxes.get(Path(photo.path).name) or boxes.get(str(getattr(photo, "id", "")))


def fractions(own, path):
    """Convert the boxes of a photo from pixels to fractions of its width and height.

    Args:
        own: PhotoBoxes of the photo: its objects with their boxes.
        path: the photo file. It is opened only if `own` has no size.

    Returns:
        A list of Entity, the objects of the photo. The numbers of their boxes are 0 to 1.

    Raises:
        ImageError: the file cannot be read.
    """
    width, height = own.size or photo_size(path)
    scale = (width, height, width, height)
    return [Entity(each.words, np.clip(each.boxes / scale, 0, 1), each.kind) for each in own.entities]


def boxes_by_word(entities, words):
    """Find the words of a caption that name objects, and the boxes of these objects.

    Each object has a kind: "people", "animals" or "things". If a word names several objects, it gets the boxes of all
    of them and the kind of the first one. If a word occurs twice in the caption, only its first position is used.

    Args:
        entities: list of Entity, the objects in the photo.
        words: words of the caption, a list or tuple.

    Returns:
        A dict from each word that names an object to a tuple (position in the caption, from 0; boxes; kind). `boxes` is
        float (boxes, 4): left, top, right and bottom of each box, in the unit of the boxes in `entities`.
    """
    found = {}
    for place, word in enumerate(words):
        own = [entity for entity in entities if word in entity.words]
        if own and word not in found:
            found[word] = place, np.concatenate([entity.boxes for entity in own]), own[0].kind
    return found


def covered(boxes, rows, columns):
    """Compute the share of each region's area that is covered by boxes.

    Args:
        boxes: left, top, right and bottom of each box as fractions of width and height, float (boxes, 4).
        rows, columns: numbers of rows and columns of the grid of regions.

    Returns:
        Float (rows, columns), 0 to 1.
    """
    # The share is counted on a raster of at least 224 × 224 points.
    fine = -(-224 // rows), -(-224 // columns)
    y, x = ((np.arange(n) + 0.5) / n for n in (rows * fine[0], columns * fine[1]))
    inside = _inside(boxes, x[None, :], y[:, None])
    return inside.reshape(rows, fine[0], columns, fine[1]).mean(axis=(1, 3))


def _inside(boxes, x, y):
    return np.any([(x >= left) & (x <= right) & (y >= top) & (y <= bottom) for left, top, right, bottom in boxes], 0)


def score_captions(photos, captions, boxes):
    """Score the attention of captions on the boxes of the objects that their words name.

    - Pointing is the share of words whose most attended region has its centre in a box of the named object. It comes
      from Zhang et al., "Top-down neural attention by excitation backprop", 2016.
    - Gain is the attention inside the boxes, divided by the share of the photo that the boxes cover. The score is the
      mean over words.

    Words whose boxes cover more than half of the photo are left out.

    Args:
        photos: list of objects with the attribute `path`, and perhaps `id`.
        captions: a list with an object for each photo. It has the attributes `words` and `attention`, float (words,
            rows, columns).
        boxes: a dict from a photo's file name or id to its PhotoBoxes, the objects of the photo with their boxes.

    Returns:
        A dict from kind of word to a dict of scores. The kinds are "all", and "people", "animals" and "things" if
        there are such words. The keys of the scores are:

        - `words`, `photos`: number of words, and number of photos with such words.
        - `pointing`, `gain`: the scores of the model.
        - `pointing_interval`, `gain_interval`: the 95 % bootstrap intervals of these scores, (low, high).
        - `uniform_pointing`: for comparison, pointing of uniform attention. The gain of uniform attention is 1.
        - `centre_pointing`, `centre_gain`: for comparison, scores of attention that is always on the photo's centre.

    Raises:
        InputError: no photo has boxes, or no word of a caption names an object with boxes.
    """
    rows = []
    for index, (photo, caption) in enumerate(zip(photos, captions)):
        own = find(boxes, photo)
        if own:
            entities = fractions(own, photo.path)
            rows += [(index, kind, *scores) for kind, scores in _score_words(caption, entities)]
    if not rows:
        raise InputError(
            "--boxes: no photo of this split is in the file, or no word of its captions names an object with boxes"
        )
    names = ("pointing", "gain", "uniform_pointing", "centre_pointing", "centre_gain")
    result = {}
    for kind in ("all", *KINDS):
        chosen = [row for row in rows if kind in ("all", row[1])]
        if not chosen:
            continue
        index, values = np.array([row[0] for row in chosen]), np.array([row[2:] for row in chosen], float)
        result[kind] = {"words": len(chosen), "photos": len(set(index.tolist()))}
        result[kind] |= dict(zip(names, values.mean(axis=0).tolist()))
        for place, name in enumerate(names[:2]):
            result[kind][f"{name}_interval"] = mean_interval(values[:, place], index)
    return result


def _score_words(caption, entities):
    """Score the attention of each word that names an object whose boxes cover at most half of the photo.

    Pointing is 1 if the centre of the most attended region is in a box. Gain is the attention inside the boxes, divided
    by the share of the photo that the boxes cover.

    Args:
        caption: object with `words` and `attention`, float (words, rows, columns).
        entities: list of Entity, the objects in the photo, with boxes as fractions of width and height.

    Returns:
        A list with a tuple (kind, scores) for each word. `kind` is "people", "animals" or "things". `scores` has five
        numbers: pointing and gain of the model, pointing of uniform attention, and pointing and gain of attention on
        the photo's centre.
    """
    grid = caption.attention.shape[1:]
    # Attention on the centre of the photo. If the number of rows or columns is even, it is on the middle two.
    middle = np.outer(*([n // 2 <= i <= n // 2 or i == (n - 1) // 2 for i in range(n)] for n in grid)).astype(float)
    middle /= max(middle.sum(), 1)
    found = []
    for place, own, kind in boxes_by_word(entities, caption.words).values():
        share = covered(own, *grid)
        area = share.mean()
        if not 0 < area <= LARGEST_SHARE:
            continue
        y, x = ((np.arange(n) + 0.5) / n for n in grid)
        centres = _inside(own, x[None, :], y[:, None])
        attention = caption.attention[place]
        scores = (
            centres.flat[attention.argmax()],
            (attention * share).sum() / area,
            centres.mean(),
            _inside(own, 0.5, 0.5),
            (middle * share).sum() / area,
        )
        found.append((kind, scores))
    return found


def score_captioner(captioner, boxes, photos, beam_size=5):
    """Caption photos, and score the attention on the boxes that people drew around objects.

    Args:
        captioner: a Captioner.
        boxes: the path of a file of boxes, or a dict from a photo's file name to its PhotoBoxes.
        photos: list of paths of photos. Only photos with boxes are captioned.
        beam_size: number of hypotheses that beam search keeps.

    Returns:
        A dict from kind of word, such as "all" or "people", to a dict of scores, such as `pointing` and `gain`. The
        docstring of `score_captions` describes all scores.

    Example:
        `score_captioner(Captioner.from_folder("models/flickr8k"), "boxes.json", find_photos("photos"))`
    """
    boxes = boxes if isinstance(boxes, dict) else read_boxes(boxes)
    captions = captioner.caption([photo for photo in photos if Path(photo).name in boxes], beam_size)
    return score_captions(captions, captions, boxes)
