"""Write the HTML report of an evaluation: one page with scores, photos with attention, and all captions."""

import base64
import io
import json
import random
from pathlib import Path

import numpy as np

from utils.data.images import open_photo
from utils.errors import ImageError
from utils.evaluation import attention_on_boxes, confidence_quality, score_tables
from utils.evaluation.score_tables import ATTENTION, BOXES_HEADER, STATISTICS, boxes_rows
from utils.files import replacing

# Number of photos in each group (best, worst, random, with boxes), and their longer side in pixels.
_PHOTOS, _SIDE = 12, 360

# Scores of single photos that are shown. The first one that was computed ranks the photos.
_SHOWN = ("CIDEr", "SPICE", "METEOR", "ROUGE_L", "Bleu_4", "Bleu_1")


def write_report(path, split, evaluation, seed=0):
    """Write the HTML report of an Evaluation, one page that needs no other files.

    The page shows the scores, all captions, and some photos with attention: the best ones, the worst ones and random
    ones. Best and worst are chosen by the CIDEr of the single photo. Photos are embedded as small JPEGs. If a photo
    file is missing, its caption is shown without a picture.

    Args:
        path: HTML file to write.
        split: a Split, whose photos are shown.
        evaluation: Evaluation of captions of the split.
        seed: random seed of the choice of the random photos.

    Raises:
        InputError: the file cannot be written.
    """
    names = [name for name in _SHOWN if name in evaluation.scores.images]
    place = {photo_id: n for n, photo_id in enumerate(evaluation.scores.ids)}
    rows = {i: {name: round(float(evaluation.scores.images[name][n]), 4) for name in names} for i, n in place.items()}
    chosen = _choose(rows, names[0], seed, evaluation.boxes)
    photos = {photo.id: photo for photo in split.photos}
    grid = next((c.attention.shape[1:] for c in evaluation.written.values()), (1, 1))
    content = {
        "title": f"Captions of {evaluation.title}",
        "about": split.describe() + f". Best and worst are by {names[0]} of the single photo.",
        "rows": grid[0],
        "columns": grid[1],
        "keys": names,
        "tables": _tables(evaluation),
        "confidence": _confidence(evaluation),
        "photos": [_photo(photos[i], evaluation, rows[i], groups) for i, groups in chosen.items()],
        "all": [[i, evaluation.captions[i], *scores.values()] for i, scores in rows.items()],
    }
    # "<" is escaped, so that a caption cannot end the script element.
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    page = (Path(__file__).parent / "report_page.html").read_text(encoding="utf-8")
    with replacing(path) as temporary:
        temporary.write_text(page.replace("DATA", text, 1), encoding="utf-8")


def _choose(rows, name, seed, boxed):
    """Choose the photos that the report shows with attention.

    Args:
        rows: a dict from photo id to a dict from score name to score.
        name: name of the score that ranks the photos, such as "CIDEr".
        seed: random seed of the choices.
        boxed: ids of the photos for which people drew boxes around objects. Some of these photos are shown, too.

    Returns:
        A dict from photo id to the names of the photo's groups: "best", "worst", "random" and "boxes".
    """
    ranked = sorted(rows, key=lambda i: -rows[i][name])
    groups = {
        "best": ranked[:_PHOTOS],
        "worst": ranked[-_PHOTOS:],
        "random": random.Random(seed).sample(ranked, min(_PHOTOS, len(ranked))),
    }
    if boxed:
        groups["boxes"] = random.Random(seed).sample(sorted(boxed), min(_PHOTOS, len(boxed)))
    chosen = {}
    for group, ids in groups.items():
        for photo_id in ids:
            chosen.setdefault(photo_id, []).append(group)
    return chosen


def _tables(evaluation):
    """Make the tables of the report from an Evaluation.

    Returns a list of dicts: `heading` is a string, and `rows` is a list of rows, each a list or tuple of strings.
    """
    scores = [
        [name, f"{value:.4f}", "{:.4f} to {:.4f}".format(*evaluation.intervals[name])]
        for name, value in evaluation.scores.corpus.items()
    ]
    about = [
        [label, form.format(values[key])]
        for values, fields in ((evaluation.statistics, STATISTICS), (evaluation.attention, ATTENTION))
        for key, label, form in fields
        if key in values
    ]
    found = [{"heading": "scores with 95 % intervals", "rows": scores}, {"heading": "captions", "rows": about}]
    if evaluation.on_boxes:
        rows = [BOXES_HEADER, *boxes_rows(evaluation)]
        found.append({"heading": "attention on boxes (in brackets: mass over area; uniform: 1)", "rows": rows})
    if evaluation.confidence:
        coverage, bins = score_tables.confidence_rows(evaluation)
        found.append({"heading": "the most confident captions", "rows": [score_tables.COVERAGE_HEADER, *coverage]})
        found.append({"heading": "confidence", "rows": [score_tables.CALIBRATION_HEADER, *bins]})
    return found


def _confidence(evaluation):
    """Describe for the report how good the confidence of an Evaluation's captions is.

    Returns a dict: `line` is a line of text, and `picture` is an SVG as a `data:` URL. Returns None if the captions
    have no confidence.
    """
    if not evaluation.confidence:
        return None
    picture = confidence_quality.draw(evaluation.confidence, *evaluation.sure).encode()
    return {
        "line": score_tables.confidence_line(evaluation),
        "picture": "data:image/svg+xml;base64," + base64.b64encode(picture).decode(),
    }


def _photo(photo, evaluation, scores, groups):
    """Make a dict with all that the HTML report needs to show one photo: caption, attention, references and scores.

    Args:
        photo: a Photo.
        evaluation: Evaluation with the caption of the photo.
        scores: a dict from score name to the score of the photo.
        groups: list of the names of the photo's groups, such as "best".
    """
    caption = evaluation.written.get(photo.id)
    if caption and caption.confidence is not None:
        scores = {"confidence": round(caption.confidence, 4)} | scores
    attention = caption.attention if caption else ()
    # 8 bits per region suffice for display.
    maps = [np.rint(m.ravel() / max(m.max(), 1e-12) * 255).astype(int).tolist() for m in attention]
    return {
        "id": photo.id,
        "image": _data_uri(photo.path),
        "caption": evaluation.captions[photo.id],
        "words": list(caption.words) if caption else [],
        "attention": maps,
        "boxes": _boxes(photo, caption, evaluation.boxes.get(photo.id)),
        "references": list(photo.references),
        "scores": scores,
        "groups": groups,
    }


def _boxes(photo, caption, own):
    """List, for each word of a caption, the boxes of the object that the word names.

    Args:
        photo: a Photo.
        caption: Caption of the photo.
        own: PhotoBoxes, the objects in the photo with their boxes, or None.

    Returns:
        A list with a list of boxes for each word, as fractions of width and height. It is empty if `own` is None.
    """
    if not own:
        return []
    named = attention_on_boxes.boxes_by_word(attention_on_boxes.fractions(own, photo.path), caption.words)
    return [named[word][1].round(4).tolist() if word in named else [] for word in caption.words]


def _data_uri(path):
    """Encode a photo as a small JPEG in a `data:` URL. Return None if the photo cannot be read."""
    try:
        image = open_photo(path)
    except ImageError:
        return None
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
