"""A captioner as one file for programs without this repository: pixels in, words and attention out."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras import ops

from utils.captioner import Captioner
from utils.data.images import load_pixels, sample_photo
from utils.data.tokenizer import START
from utils.errors import InputError
from utils.model.search import UNREPEATED, forbidden_words, repeating_words

# By format: the name of the result, and the packages that it takes to make and check it.
FORMATS = {
    "onnx": ("captioner.onnx", ("tf2onnx", "onnxruntime")),
    "tf_saved_model": ("captioner", ()),
    "litert": ("captioner.tflite", ("ai_edge_litert",)),
}

# Of ONNX's operators; old enough for every runtime of the last years.
_OPSET = 17

_RUN = {
    "onnx": """import onnxruntime
session = onnxruntime.InferenceSession("captioner.onnx")
attention, words = session.run(["attention", "words"], {"pixels": pixels})""",
    "tf_saved_model": """import tensorflow as tf
captioner = tf.saved_model.load("captioner")  # keep it: weights go with it
outputs = captioner.signatures["serving_default"](pixels=tf.constant(pixels))
attention, words = outputs["attention"].numpy(), outputs["words"].numpy()""",
    "litert": """from ai_edge_litert.interpreter import Interpreter
run = Interpreter("captioner.tflite").get_signature_runner()
outputs = run(pixels=pixels)
attention, words = outputs["attention"], outputs["words"]""",
}

_README = """# {dataset} captioner as {format}

Greedy captions of photos, at most {max_words} words, made from `{model}` by `export.py`. It needs neither the
repository nor its packages, only what this example imports:

```python
import numpy as np
from PIL import Image, ImageOps

image = Image.open("photo.jpg")
image.draft("RGB", ({double}, {double}))  # large JPEGs are read smaller, as in training
image = ImageOps.exif_transpose(image).convert("RGB")
image = image.resize(({size}, {size}), Image.Resampling.BILINEAR, reducing_gap=3.0)
pixels = np.asarray(image)[None]  # uint8 (photos, {size}, {size}, 3)

{run}

vocabulary = open("vocabulary.txt", encoding="utf-8").read().split("\\n")
written = [vocabulary[number] for number in words[0]]
written = written[: written.index("<end>")] if "<end>" in written else written
print(" ".join(written))
maps = attention[0, : len(written)].reshape(-1, {rows}, {columns})  # for each word where it looked, sum 1
```

`words` is int32 (photos, {max_words}), `attention` float32 (photos, {max_words}, {regions}).{batch}
"""


def missing_packages(form):
    """The packages that a format takes and that are not installed."""
    return [name for name in FORMATS[form][1] if importlib.util.find_spec(name) is None]


def greedy_function(captioner, photos=None):
    """Encoder and greedy search as one function without a loop, which every converter takes.

    The words are those of `beam_search` with a beam of one. Converters lose
    `argmax` and loops; the loop over words is unrolled, `top_k` chooses.

    Args:
        captioner: a Captioner.
        photos: photos at a time; None leaves it open.

    Returns:
        A tf.function: uint8 pixels (photos, size, size, 3) → a dict of `words`,
        int32 (photos, max_words), ended by END and filled with PAD, and
        `attention`, float32 (photos, max_words, regions).
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


def _convert_onnx(captioner, path):
    import tf2onnx

    function = greedy_function(captioner)
    tf2onnx.convert.from_function(function, function.input_signature, opset=_OPSET, output_path=str(path))


def _convert_tf_saved_model(captioner, path, photos=None):
    module = tf.Module()
    # Weights that are not reachable from what is saved would be missing in it.
    module.weights = [w.value for network in (captioner.encoder.network, captioner.decoder) for w in network.weights]
    tf.saved_model.save(module, str(path), signatures=greedy_function(captioner, photos).get_concrete_function())


def _convert_litert(captioner, path):
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        _convert_tf_saved_model(captioner, folder, photos=1)
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


_CONVERT = {"onnx": _convert_onnx, "tf_saved_model": _convert_tf_saved_model, "litert": _convert_litert}


def _run_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    return lambda pixels: session.run(["words"], {"pixels": pixels})[0]


def _run_tf_saved_model(path):
    loaded = tf.saved_model.load(str(path))
    # The default names `loaded`, so that its weights live as long as the function.
    return lambda pixels, loaded=loaded: loaded.signatures["serving_default"](pixels=tf.constant(pixels))[
        "words"
    ].numpy()


def _run_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path)).get_signature_runner()
    return lambda pixels: np.concatenate([run(pixels=photo[None])["words"] for photo in pixels])


_LOAD = {"onnx": _run_onnx, "tf_saved_model": _run_tf_saved_model, "litert": _run_litert}


def load_exported(folder, form):
    """What `export` wrote, as a function: uint8 pixels (photos, size, size, 3) → words, int (photos, max_words)."""
    return _LOAD[form](Path(folder) / FORMATS[form][0])


def export(captioner, form, folder, model="a model folder", overwrite=False):
    """Write a captioner, its vocabulary and a README with an example into a folder.

    What was written is loaded again, and must write the same caption as the
    captioner.

    Args:
        captioner: a Captioner.
        form: a key of `FORMATS`.
        folder: where to.
        model: where the captioner came from, for the README.
        overwrite: replace what is there.

    Returns:
        The path of the model in it.

    Raises:
        InputError: packages are missing, the folder is there or cannot be written.
    """
    check_export(form, folder, overwrite)
    captioner = _in_float32(captioner)
    folder, encoder = Path(folder), captioner.encoder
    path = folder / FORMATS[form][0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        _CONVERT[form](captioner, path)
        captioner.tokenizer.save(folder / "vocabulary.txt")
        text = _README.format(
            dataset=captioner.dataset, format=form, model=model, run=_RUN[form], max_words=captioner.max_words,
            size=encoder.image_size, double=2 * encoder.image_size, rows=encoder.rows, columns=encoder.columns,
            regions=encoder.rows * encoder.columns, batch=" One photo at a time." if form == "litert" else "",
        )  # fmt: skip
        (folder / "README.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from None
    written = load_exported(folder, form)(load_pixels(sample_photo(), encoder.image_size)[None])
    if tuple(captioner.tokenizer.decode(written[0])) != captioner.caption([sample_photo()], beam_size=1)[0].words:
        raise InputError(f"{path}: writes another caption than the model it was made from; do not use it")
    return path


def _in_float32(captioner):
    """The Captioner with an encoder that computes in float32: other runtimes have no convolutions in bfloat16."""
    encoder = captioner.encoder.copy(precision="float32")
    return Captioner(
        encoder, captioner.tokenizer, captioner.decoder, captioner.max_words, captioner.dataset, captioner.training
    )


def check_export(form, folder, overwrite):
    """Raise InputError for what would make `export` fail, before anything is loaded."""
    missing = missing_packages(form)
    if missing:
        raise InputError(f"{form} needs {' and '.join(missing)}: pip install -r requirements-export.txt")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or (os.listdir(folder) and not overwrite)):
        raise InputError(f"{folder}: exists; name another --output_dir, or replace it with --overwrite")
