"""Functions that write the captions of many photos as plain lines, JSON Lines or CSV."""

import csv
import json

from utils.errors import one_line


def _write_plain(stream, with_names, with_scores):
    def write(name, captions):
        for caption in captions:
            cells = [one_line(name)] * with_names + [caption.text] + [f"{caption.score:.4f}"] * with_scores
            stream.write("\t".join(cells) + "\n")

    return write


def _round(number):
    return None if number is None else round(number, 4)


def caption_record(caption):
    """Convert a Caption to a dict that can be written as JSON.

    Args:
        caption: a Caption.

    Returns:
        A dict: `text` is the sentence, `log_probability` the natural logarithm of its probability, and `score` the
        number that ranks the captions of a photo. If the caption has a confidence (the probability that it is right),
        the dict also has `confidence`, 0 to 1.
    """
    record = {"text": caption.text, "log_probability": _round(caption.log_probability), "score": _round(caption.score)}
    confidence = caption.confidence
    return record if confidence is None else record | {"confidence": _round(confidence)}


def _write_json(stream):
    def write(name, captions):
        rows = [caption_record(caption) for caption in captions]
        stream.write(json.dumps({"photo": name, "captions": rows}, ensure_ascii=False) + "\n")

    return write


def _write_csv(stream, header):
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(("photo", "number", "caption", "log_probability", "score", "confidence"))

    def write(name, captions):
        for number, caption in enumerate(captions, 1):
            numbers = caption.log_probability, caption.score, caption.confidence
            writer.writerow((name, number, caption.text, *("" if n is None else f"{n:.4f}" for n in numbers)))

    return write


def table_writer(form, stream, header=True, with_scores=False):
    """Make a function that writes the captions of one photo to a stream.

    Args:
        form: "texts" (one caption per line), "lines" (photo, tab, caption), "json" (JSON Lines, one object per photo)
            or "csv" (a header, then one row per caption).
        stream: the text stream to write to.
        header: True to write the CSV header; False if the stream continues a table.
        with_scores: True if "texts" and "lines" must add a tab and the score to each caption.

    Returns:
        A function `write(name, captions)` that takes the name of a photo and a list of `Caption` objects.
    """
    if form == "csv":
        return _write_csv(stream, header)
    if form == "json":
        return _write_json(stream)
    return _write_plain(stream, form == "lines", with_scores)
