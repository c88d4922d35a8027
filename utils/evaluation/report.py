"""The HTML report: scores, photos with attention, and all captions on one page that works offline."""

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

# Photos per group, and their longer side in pixels.
_PHOTOS, _SIDE = 12, 360

_SHOWN = ("CIDEr", "SPICE", "METEOR", "ROUGE_L", "Bleu_4", "Bleu_1")


def write_report(path, split, evaluation, seed=0):
    """Write the report of an Evaluation.

    The page shows scores, all captions, and the best, the worst and random photos with attention. Best and worst are
    chosen by CIDEr of the single photo. Photos are embedded as small JPEGs; captions whose photo is missing have no
    picture.

    Args:
        path: HTML file to write.
        split: a Split.
        evaluation: Evaluation of its captions.
        seed: seed of the random photos.

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
    """The groups of each photo that is shown, lists of names by photo id.

    Args:
        rows: scores by photo id.
        name: score that ranks the photos.
        seed: seed of the random photos.
        boxed: ids of photos with boxes, some of which are shown too.
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
    """Quality of confidence as a line and a picture; None if the captions have no confidence."""
    if not evaluation.confidence:
        return None
    picture = confidence_quality.draw(evaluation.confidence, *evaluation.sure).encode()
    return {
        "line": score_tables.confidence_line(evaluation),
        "picture": "data:image/svg+xml;base64," + base64.b64encode(picture).decode(),
    }


def _photo(photo, evaluation, scores, groups):
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
    """For each word of the caption the boxes of the named object, as shares of width and height.

    The list is empty if the photo has no boxes.
    """
    if not own:
        return []
    named = attention_on_boxes.boxes_by_word(attention_on_boxes.fractions(own, photo.path), caption.words)
    return [named[word][1].round(4).tolist() if word in named else [] for word in caption.words]


def _data_uri(path):
    """A photo as a small JPEG in a `data:` address; None if the photo cannot be read."""
    try:
        image = open_photo(path)
    except ImageError:
        return None
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
