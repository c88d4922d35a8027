"""Captions of many photos as text that people and programs read: plain lines, JSON Lines or CSV."""

import csv
import json


def _write_lines(stream):
    def write(name, captions):
        for caption in captions:
            stream.write(f"{name}\t{caption.text}\n")

    return write


def _write_texts(stream):
    def write(name, captions):
        for caption in captions:
            stream.write(f"{caption.text}\n")

    return write


def _write_json(stream):
    def write(name, captions):
        rows = [
            {"text": c.text, "log_probability": round(c.log_probability, 4)}
            | ({} if c.confidence is None else {"confidence": round(c.confidence, 4)})
            for c in captions
        ]
        stream.write(json.dumps({"photo": name, "captions": rows}, ensure_ascii=False) + "\n")

    return write


def _write_csv(stream, header):
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(("photo", "number", "caption", "log_probability", "confidence"))

    def write(name, captions):
        for number, caption in enumerate(captions, 1):
            sure = "" if caption.confidence is None else f"{caption.confidence:.4f}"
            writer.writerow((name, number, caption.text, f"{caption.log_probability:.4f}", sure))

    return write


_FORMATS = {"texts": _write_texts, "lines": _write_lines, "json": _write_json}


def table_writer(form, stream, header=True):
    """A function that writes the captions of one photo, called as `write(name, captions)`.

    Args:
        form: "texts" (captions alone, a line each), "lines" (photo, tab, caption), "json"
            (JSON Lines: an object a photo) or "csv" (a row a caption, under a header).
        stream: a text stream.
        header: False for a CSV table that goes on where another one ends.
    """
    if form == "csv":
        return _write_csv(stream, header)
    return _FORMATS[form](stream)
