"""Writes captions of photos with the exported model beside this file: `python caption.py photo.jpg`."""

import json
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def load_model(path, form):
    """Load the exported model as a function from pixels to captions.

    Args:
        path: the model file or folder that `export.py` has written.
        form: "onnx", "tf_saved_model" or "litert". A litert model accepts one photo at a time.

    Returns:
        A function that takes pixels, uint8 (photos, size, size, 3), and returns two arrays: word numbers, int (photos,
        max_words), and attention weights, float32 (photos, max_words, regions).
    """
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        return lambda pixels: session.run(["words", "attention"], {"pixels": pixels})
    if form == "litert":
        from ai_edge_litert.interpreter import Interpreter

        run = Interpreter(str(path)).get_signature_runner()
    else:
        import tensorflow as tf

        loaded = tf.saved_model.load(str(path))

        # The default argument keeps the model in memory as long as the function exists.
        def run(pixels, loaded=loaded):
            return loaded.signatures["serving_default"](pixels=tf.constant(pixels))

    def call(pixels):
        outputs = run(pixels=pixels)
        return np.asarray(outputs["words"]), np.asarray(outputs["attention"])

    return call


def read_pixels(path, size):
    """Read a photo as input for the model.

    The photo is rotated by its EXIF orientation, converted to 8-bit RGB with a white background behind transparent
    pixels, and resized to a square.

    Args:
        path: the file of the photo.
        size: width and height of the model's input, in pixels.

    Returns:
        Pixels, uint8 (1, size, size, 3).
    """
    with Image.open(path) as image:
        image.draft("RGB", (2 * size, 2 * size))  # decodes large JPEGs at a reduced size, as in training
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":
            values = np.asarray(image, dtype="float32")
            tops = (1, 255) if image.mode == "F" else (255, 65535)
            values = values / (tops[0] if values.max() <= tops[0] else tops[1])
            image = Image.fromarray((np.clip(values, 0, 1) * 255).astype("uint8"))
        elif image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(image)[None]


def to_words(numbers, vocabulary):
    """Convert the word numbers of a caption to words, up to the first <end> or <pad>.

    Args:
        numbers: word numbers of one caption, int (max_words,).
        vocabulary: the words of the model, a list. The word with number n is `vocabulary[n]`.

    Returns:
        A list of words.
    """
    words = [vocabulary[number] for number in numbers]
    ends = [words.index(special) for special in ("<end>", "<pad>") if special in words]
    return words[: min(ends, default=len(words))]


def to_sentence(words):
    """Join words into a sentence that begins with a capital letter and ends with a full stop.

    Short forms such as "'s" and "n't" follow the previous word without a space.

    Args:
        words: a list of words.

    Returns:
        The sentence, a string; "" if there are no words.
    """
    text = re.sub(r" ('(?:s|m|d|ll|re|ve)|n't)\b", r"\1", " ".join(words))
    return text[:1].upper() + text[1:] + "." if text else ""


def main():
    """Print a caption for each photo that the command line names."""
    folder = Path(__file__).resolve().parent
    about = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    vocabulary = (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    model = load_model(folder / about["file"], about["format"])
    for path in sys.argv[1:] or sys.exit("usage: python caption.py PHOTO ..."):
        words, _ = model(read_pixels(path, about["image_size"]))
        print(to_sentence(to_words(words[0], vocabulary)))


if __name__ == "__main__":
    main()
