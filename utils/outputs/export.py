"""Exports a captioner to a model file that other programs can run without this repository."""

import importlib.util
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras import ops

from utils.captioner import Captioner
from utils.data.images import load_pixels
from utils.data.photo_files import sample_photo
from utils.data.tokenizer import START
from utils.errors import InputError, reason
from utils.model.search import UNREPEATED, forbidden_words, repeating_words
from utils.outputs import exported_example

# For each format: the name of the model's file or folder, and the packages that conversion and check need.
FORMATS = {
    "onnx": ("captioner.onnx", ("tf2onnx", "onnxruntime")),
    "tf_saved_model": ("captioner", ()),
    "litert": ("captioner.tflite", ("ai_edge_litert",)),
}

_VOCABULARY, _METADATA = "vocabulary.txt", "metadata.json"

# Version of the ONNX operator set; ONNX Runtime has supported it since 2022.
_OPSET = 17

# The example program that is copied beside the model.
_EXAMPLE = Path(exported_example.__file__)

_README = """# {dataset} captioner as {format}

This model was exported from `{model}`. It writes captions of at most {max_words} words by greedy decoding.

`python caption.py photo.jpg` prints the caption of a photo. The program needs {packages}, NumPy and Pillow. It shows
how to read a photo and how to join the words.

| tensor | type | shape | content |
|---|---|---|---|
| `pixels` | uint8 | {photos}, {image_size}, {image_size}, 3 | input: RGB; the whole photo is resized to a square |
| `words` | int32 | {photos}, {max_words} | word numbers up to `<end>`: lines of `vocabulary.txt`, from 0 |
| `attention` | float32 | {photos}, {max_words}, {regions} | weights of each word: {rows} rows of {columns}, sum 1 |

`metadata.json` holds the same facts for programs. The model file contains a copy{inside}.

Licence: {licence}.
"""

_INSIDE = {
    "onnx": ", as custom metadata (`session.get_modelmeta().custom_metadata_map`), with the vocabulary",
    "tf_saved_model": ", in `captioner/assets/`, with the vocabulary",
    "litert": "; `unzip captioner.tflite` extracts it and the vocabulary",
}


def missing_packages(form):
    """Find the packages that an export format needs and that are not installed.

    Args:
        form: the format, "onnx", "tf_saved_model" or "litert".

    Returns:
        A list of package names.
    """
    return [name for name in FORMATS[form][1] if importlib.util.find_spec(name) is None]


def greedy_function(captioner, photos=None):
    """Make one TensorFlow function for export, which computes captions from pixels by greedy decoding.

    The function writes the same words as `beam_search` with a beam of one. Some
    converters do not support loops and `argmax`. The loop over words is therefore
    written out, and `top_k` chooses the words.

    Args:
        captioner: a Captioner.
        photos: batch size; None allows any.

    Returns:
        A tf.function that takes pixels, uint8 (photos, size, size, 3), and returns a
        dict with two keys: `words`, int32 (photos, max_words), with END after the last
        word, then PAD; and `attention`, float32 (photos, max_words, regions).
    """
    encoder, decoder = captioner.encoder, captioner.decoder
    size = encoder.image_size

    def write(pixels):
        regions = encoder.regions(pixels)
        memory = decoder.remember(regions)
        state = decoder.initial_state(memory, 1)
        last = ops.full((ops.shape(regions)[0], 1), START, dtype="int32")
        words, attention = [], []
        for position in range(captioner.max_words):
            logits, state, maps = decoder.step(last, state, memory)
            ended, forbidden = forbidden_words(decoder.vocabulary_size, last)
            if position >= UNREPEATED:
                before = ops.stack(words, axis=-1)
                forbidden |= repeating_words(before, position, decoder.vocabulary_size, UNREPEATED) & ~ended
            _, best = ops.top_k(ops.where(forbidden, -1e9, logits), 1)
            last = ops.cast(best[..., 0], "int32")
            words.append(last)
            attention.append(ops.where(ended, 0.0, maps))
        return {"words": ops.concatenate(words, axis=1), "attention": ops.concatenate(attention, axis=1)}

    return tf.function(write, [tf.TensorSpec((photos, size, size, 3), "uint8", name="pixels")], autograph=False)


def _convert_onnx(captioner, path, about):
    import onnx
    import tf2onnx

    function = greedy_function(captioner)
    model, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=_OPSET)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "photos"
    model.doc_string = f"Captions photos and returns the attention of each word; exported from {about['model']}"
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
    onnx.helper.set_model_props(model, texts | {"vocabulary": (path.parent / _VOCABULARY).read_text("utf-8")})
    onnx.save(model, path)


def _convert_tf_saved_model(captioner, path, about, photos=None):
    module = tf.Module()
    # TensorFlow saves only weights that are attributes of the module.
    module.weights = [w.value for network in (captioner.encoder.network, captioner.decoder) for w in network.weights]
    if about:
        module.assets = [tf.saved_model.Asset(str(path.parent / name)) for name in (_VOCABULARY, _METADATA)]
    tf.saved_model.save(module, str(path), signatures=greedy_function(captioner, photos).get_concrete_function())


def _convert_litert(captioner, path, about):
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        _convert_tf_saved_model(captioner, folder, None, photos=1)
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())
    # LiteRT stores files that belong to a model in a zip archive at the end of the model file.
    with zipfile.ZipFile(path, "a") as archive:
        for name in (_VOCABULARY, _METADATA):
            archive.write(path.parent / name, name)


_CONVERT = {"onnx": _convert_onnx, "tf_saved_model": _convert_tf_saved_model, "litert": _convert_litert}


def load_exported(folder, form):
    """Load an exported model as a function, to check the model.

    Args:
        folder: the folder that the function `export` has written.
        form: the format, "onnx", "tf_saved_model" or "litert".

    Returns:
        A function that takes pixels, uint8 (photos, size, size, 3), and returns word numbers, int (photos, max_words).
    """
    model = exported_example.load_model(Path(folder) / FORMATS[form][0], form)
    if form == "litert":
        return lambda pixels: np.concatenate([model(photo[None])[0] for photo in pixels])
    return lambda pixels: model(pixels)[0]


def describe(captioner, form, model):
    """Make the content of metadata.json: the facts that a program needs to use the exported model.

    Args:
        captioner: a Captioner.
        form: the format, "onnx", "tf_saved_model" or "litert".
        model: the model folder that the captioner was loaded from.

    Returns:
        A dict for JSON.
    """
    encoder = captioner.encoder
    return {
        "model": str(model), "format": form, "file": FORMATS[form][0], "dataset": captioner.dataset,
        "encoder": encoder.name, "image_size": encoder.image_size, "rows": encoder.rows, "columns": encoder.columns,
        "max_words": captioner.max_words, "vocabulary_size": len(captioner.tokenizer),
        "licence": f"MIT for the program; the weights were trained on {captioner.dataset}; its terms apply",
    }  # fmt: skip


def export(captioner, form, folder, model="a model folder", overwrite=False):
    """Export a captioner to a folder: the model, its vocabulary, metadata, an example program and a README.

    At the end, the exported model is loaded for a check: it must write the same
    caption of the sample photo as the captioner.

    Args:
        captioner: a Captioner.
        form: the format, "onnx", "tf_saved_model" or "litert".
        folder: the folder to write.
        model: the model folder that the captioner was loaded from. README and metadata name it.
        overwrite: True to replace the files of an existing folder.

    Returns:
        The path of the exported model, a file or folder inside `folder`.

    Raises:
        InputError: a package is missing, the folder exists or cannot be written, or the exported model writes another
            caption.
    """
    check_export(form, folder, overwrite)
    captioner = _in_float32(captioner)
    folder, about = Path(folder), describe(captioner, form, model)
    path = folder / FORMATS[form][0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        captioner.tokenizer.save(folder / _VOCABULARY)
        (folder / _METADATA).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        shutil.copyfile(_EXAMPLE, folder / "caption.py")
        _CONVERT[form](captioner, path, about)
        packages = {"onnx": "`onnxruntime`", "tf_saved_model": "`tensorflow`", "litert": "`ai-edge-litert`"}
        photos = "1" if form == "litert" else "photos"
        text = _README.format(
            **about, regions=about["rows"] * about["columns"], packages=packages[form], photos=photos,
            inside=_INSIDE[form],
        )  # fmt: skip
        (folder / "README.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason(error)}") from None
    written = load_exported(folder, form)(load_pixels(sample_photo(), about["image_size"])[None])
    if tuple(captioner.tokenizer.decode(written[0])) != captioner.caption(sample_photo(), beam_size=1).words:
        raise InputError(f"{path}: writes another caption than the original model; do not use it")
    return path


def _in_float32(captioner):
    """Copy a Captioner for export, with an encoder in float32, because other programs cannot compute in bfloat16."""
    encoder = captioner.encoder.copy(precision="float32")
    return Captioner(
        encoder, captioner.tokenizer, captioner.decoder, captioner.max_words, captioner.dataset, captioner.training
    )


def check_export(form, folder, overwrite):
    """Check, before a model is loaded, that it can be exported: the packages are installed and the folder is free.

    Args:
        form: the format, "onnx", "tf_saved_model" or "litert".
        folder: the folder to write, a str or Path.
        overwrite: True if the files of an existing folder may be replaced.

    Raises:
        InputError: a package is missing, or the folder is not empty and may not be replaced.
    """
    missing = missing_packages(form)
    if missing:
        raise InputError(f"{form} export needs {' and '.join(missing)}: pip install -r requirements-export.txt")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or (os.listdir(folder) and not overwrite)):
        raise InputError(f"{folder}: already exists; name another --output_dir, or replace it with --overwrite")
