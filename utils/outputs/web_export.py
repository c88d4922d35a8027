"""Exports a captioner to a web page that captions photos in the browser of its visitors. Any web server can serve it.

The page runs two ONNX graphs with onnxruntime-web: `encoder` once per photo, `step` once per word. Beam search is
written in JavaScript (`web/search.js`) and has the default beam size of `inference.py`.
"""

import gzip
import hashlib
import inspect
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras import ops

from utils.data.images import MAX_PIXELS, load_pixels
from utils.data.photo_files import sample_photo
from utils.data.tokenizer import END, PAD, START, UNKNOWN
from utils.errors import InputError, reason
from utils.model import caption_faults
from utils.model.confidence import LEAST_LIKENESS, MOST_DETAIL
from utils.model.consensus import WEIGHT, Consensus
from utils.model.decoder import Memory, State
from utils.model.search import LENGTH_PENALTY, UNREPEATED
from utils.outputs.export import check_export

# The folder with the files of the page that are the same for all models.
TEMPLATE = Path(__file__).with_name("web")

# Beam size of the page. inference.py has the same default.
_BEAM_SIZE = 5

# Files of onnxruntime-web. Browsers with WebGPU load the first three, other browsers the last three.
_RUNTIME = (
    "ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm",
    "ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm",
)  # fmt: skip

# Suffix of compressed files. It is not ".gz", because some web servers let the browser decompress files of that name.
_PACKED = ".gzip"

# A tensor with fewer values than this stays in float32, because compression would save almost nothing.
_LARGE = 1024

# If 8 bits cause a smaller relative error than this, they count as exact. float32 rounding has errors of this size.
_EXACT = 1e-6

# Version of the ONNX operator set.
_OPSET = 17


def export_web(captioner, folder, model="a model folder", overwrite=False):
    """Write a folder with a web page that captions photos in the browser.

    The folder holds the page, a captioner as ONNX graphs, and onnxruntime-web, which runs ONNX graphs in browsers.

    Args:
        captioner: a Captioner.
        folder: the folder to write.
        model: the model folder that the captioner was loaded from. The page shows its name.
        overwrite: True to replace the files of an earlier export. If False, the folder must be new or empty.

    Returns:
        The path of the folder, a Path.

    Raises:
        InputError: a package or npm is missing, the folder is not empty or cannot be written, or the graphs give other
            word probabilities than the captioner.
    """
    folder = Path(folder)
    check_web_export(folder, overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("runtime", "model"):
            shutil.rmtree(folder / name, ignore_errors=True)
        _copy_template(folder)
        _copy_runtime(folder / "runtime")
        _write_model(captioner, folder / "model", model)
        _write_list(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason(error)}") from None
    return folder


def check_web_export(folder, overwrite):
    """Check, before a model is loaded, that the web page can be written.

    Args:
        folder: the folder to write, a str or Path.
        overwrite: True if the files of an existing folder may be replaced.

    Raises:
        InputError: a package or npm is missing, or the folder is not empty and may not be replaced.
    """
    check_export("onnx", folder, overwrite)
    if not _installed_runtime() and not shutil.which("npm"):
        raise InputError(
            f"npm is not installed; it fetches onnxruntime-web {runtime_version()}: "
            "apt install npm, brew install node, or see https://nodejs.org"
        )


def runtime_version():
    """Return the version of onnxruntime-web that the page needs, a string."""
    return json.loads((TEMPLATE / "package.json").read_text(encoding="utf-8"))["dependencies"]["onnxruntime-web"]


def _installed_runtime():
    """Find onnxruntime-web in the folder utils/outputs/web, into which `npm install` can put it.

    Returns:
        The folder of the package, a Path; None if it is missing or has another version than the page needs.
    """
    folder = TEMPLATE / "node_modules" / "onnxruntime-web"
    description = folder / "package.json"
    if description.is_file() and json.loads(description.read_text(encoding="utf-8"))["version"] == runtime_version():
        return folder
    return None


def _copy_template(folder):
    for file in TEMPLATE.iterdir():
        if file.is_file() and file.name not in ("package.json", "package-lock.json"):
            shutil.copyfile(file, folder / file.name)


def _copy_runtime(target):
    """Copy the files of onnxruntime-web into the new folder `target`, a Path. WebAssembly files are compressed."""
    with tempfile.TemporaryDirectory(prefix="export-") as temporary:
        source = _installed_runtime() or _fetch_runtime(Path(temporary))
        target.mkdir()
        for name in _RUNTIME:
            if name.endswith(".wasm"):
                _write_packed(target / f"{name}{_PACKED}", (source / "dist" / name).read_bytes())
            else:
                shutil.copyfile(source / "dist" / name, target / name)
    shutil.copyfile(TEMPLATE / "LICENSE-onnxruntime-web.txt", target / "LICENSE.txt")
    (target.parent / "LICENSE-onnxruntime-web.txt").unlink()


def _fetch_runtime(folder):
    """Download onnxruntime-web with npm.

    Args:
        folder: an empty folder, a Path, for the files.

    Returns:
        The folder of the package, a Path.

    Raises:
        InputError: npm failed.
    """
    package = f"onnxruntime-web@{runtime_version()}"
    done = subprocess.run(
        ["npm", "pack", package, "--ignore-scripts", "--prefer-offline", "--loglevel=error"],
        capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        said = " ".join(done.stderr.split())[:200] or f"status {done.returncode}"
        raise InputError(
            f"npm cannot fetch {package}: {said}; check the connection, or run `npm install` in {TEMPLATE} later"
        )
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def _write_packed(path, content):
    # The file gets no time stamp, so that equal content gives equal files.
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def _write_model(captioner, folder, model):
    """Write the files with which the web page captions photos: two ONNX graphs, and `model.json`.

    The graphs compute what the encoder and the decoder compute. `model.json` has all other facts that the page needs.

    Args:
        captioner: the Captioner to export.
        folder: the folder for these files, a Path. It must not exist yet.
        model: the name of the model folder from which the captioner was loaded. The page shows this name.

    Raises:
        InputError: the word probabilities of the graphs differ from those of the captioner.
    """
    folder.mkdir()
    encoder = captioner.encoder.copy(precision="float32")
    functions = {
        "encoder": encoder_function(encoder, captioner.decoder, captioner.consensus),
        "step": step_function(captioner.decoder, encoder.rows * encoder.columns),
    }
    for name, function in functions.items():
        graph = _convert(function)
        # If weights are rounded to 8 bits, some of 200 greedy captions change: 35 with MobileNet's weights, 3 with the
        # word embeddings, 1 with the layer before the embeddings, none with the other matrices of the decoder. The
        # first three therefore get half precision. VGG16's weights are 8-bit values already.
        decoder = captioner.decoder
        _shrink(graph, {decoder.vocabulary_size, decoder.embedding_size} if name == "step" else None)
        _write_packed(folder / f"{name}.onnx{_PACKED}", graph.SerializeToString())
    consensus, confidence = captioner.consensus, captioner.confidence
    description = {
        "model": str(model),
        "dataset": captioner.dataset,
        "image_size": encoder.image_size,
        "rows": encoder.rows,
        "columns": encoder.columns,
        "max_pixels": MAX_PIXELS,
        "beam_size": _BEAM_SIZE,
        "max_words": captioner.max_words,
        "unrepeated": UNREPEATED,
        "length_penalty": 1.0 if consensus else LENGTH_PENALTY,
        "consensus_weight": WEIGHT if consensus else 0.0,
        "rarity": [round(float(value), 6) for value in consensus.rarity] if consensus else [],
        "confidence": consensus
        and confidence
        and confidence.to_dict() | {"least_likeness": LEAST_LIKENESS, "most_detail": MOST_DETAIL},
        "fault_words": fault_words(),
        "special": {"pad": PAD, "start": START, "end": END, "unknown": UNKNOWN},
        "vocabulary": captioner.tokenizer.words,
    }
    text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
    (folder / "model.json").write_text(text, encoding="utf-8")
    _check_graphs(captioner, encoder, folder)


def fault_words():
    """Return the lists of words with which the page finds captions that break off or name the same thing twice.

    Returns:
        A dict from a name, such as "colours", to a list of str.
    """
    return {
        "before_nouns": sorted(caption_faults.BEFORE_NOUNS),
        "function_words": sorted(caption_faults.FUNCTION_WORDS),
        "colours": sorted(caption_faults.COLOURS),
        "never_last": sorted(caption_faults.NEVER_LAST),
    }


def encoder_function(encoder, decoder, consensus=None):
    """Make one TensorFlow function, for the web page, of all computations that run once per photo.

    Args:
        encoder: an Encoder.
        decoder: an AttentionDecoder.
        consensus: a Consensus, or None.

    Returns:
        A tf.function that takes `pixels`, uint8 (1, size, size, 3), and returns a dict of float32 tensors:
            keys (1, regions, attention units), values (1, regions, channels): the keys and values of the attention.
            hidden, cell (1, 1, units): the state of the LSTM before the first word.
            detail (1,): how much the regions of the photo differ from each other. Only with a consensus.
            worth (1, vocabulary): how much each word adds to the likeness of a caption (how well the caption agrees
                with the words that people would use). The page adds up the worth of the caption's words, and divides
                the sum by the norm of the caption's tf-idf vector. Only with a consensus.
    """
    size = encoder.image_size

    def encode(pixels):
        regions = encoder.regions(pixels)
        memory = decoder.remember(regions)
        state = decoder.initial_state(memory, 1)
        outputs = memory._asdict() | state._asdict()
        if consensus:
            # Tensors that were created outside this function would become inputs of the graph. A new Consensus, created
            # here, has tensors that become constants.
            copy = Consensus(*(getattr(consensus, name) for name in inspect.signature(Consensus).parameters))
            expected = ops.pad(copy.expectations(regions), ((0, 0), (0, 1)))
            places = np.full(len(consensus.rarity), len(consensus.expected_words), "int32")
            places[consensus.expected_words] = np.arange(len(consensus.expected_words))
            outputs["detail"] = copy.detail(regions)
            outputs["worth"] = ops.take(expected, places, axis=1) * consensus.rarity
        return {name: ops.cast(each, "float32") for name, each in outputs.items()}

    return tf.function(encode, [tf.TensorSpec((1, size, size, 3), "uint8", name="pixels")], autograph=False)


def step_function(decoder, places):
    """Make one TensorFlow function, for the web page, that computes the probabilities of the next word.

    It does so for all hypotheses (unfinished captions) of a photo at once.

    Args:
        decoder: an AttentionDecoder.
        places: number of regions per photo.

    Returns:
        A tf.function of five tensors: the previous `words`, int32 (1, beam); the LSTM state `hidden` and `cell`,
        float32 (1, beam, units); the attention `keys` and `values` of the photo, float32 (1, places, …). It returns a
        dict: `log_probabilities` (1, beam, vocabulary), `attention` (1, beam, places), and the new state `next_hidden`
        and `next_cell`.
    """
    units, values = decoder.units, decoder.value_size or decoder.region_mean.shape[0]
    shapes = {
        "hidden": (1, None, units), "cell": (1, None, units),
        "keys": (1, places, decoder.attention_units), "values": (1, places, values),
    }  # fmt: skip

    def step(words, hidden, cell, keys, values):
        logits, state, attention = decoder.step(words, State(hidden, cell), Memory(keys, values))
        return {
            "log_probabilities": ops.log_softmax(logits, axis=-1),
            "attention": attention,
            "next_hidden": state.hidden,
            "next_cell": state.cell,
        }

    floats = [tf.TensorSpec(shape, "float32", name=name) for name, shape in shapes.items()]
    return tf.function(step, [tf.TensorSpec((1, None), "int32", name="words"), *floats], autograph=False)


def _convert(function):
    import tf2onnx

    return tf2onnx.convert.from_function(function, function.input_signature, opset=_OPSET)[0]


def _shrink(graph, precise=None):
    """Make an ONNX graph smaller: store its weights in 8 or 16 bits. They become float32 when the graph is loaded.

    Tensors that 8 bits represent exactly get 8 bits. Small tensors stay in float32. The argument `precise`
    says which of the other tensors get 8 bits and which get 16.

    Args:
        graph: an ONNX model, which is changed in place.
        precise: None: all other tensors get 16 bits. A set of int: vectors, and tensors whose shape contains one of
            these numbers, get 16 bits; the rest get 8 bits.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, stored, tables = [], [], {}
    for tensor in graph.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LARGE:
            stored.append(tensor)
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        # The weights of the output layer are the transposed word embeddings, so they are stored only once.
        if values.ndim == 2 and values.T.tobytes() in tables:
            nodes.append(helper.make_node("Transpose", [tables[values.T.tobytes()]], [name]))
            continue
        tables[values.tobytes()] = name
        levels, steps, error = _in_8_bits(values)
        if error < _EXACT or (precise and values.ndim > 1 and precise.isdisjoint(values.shape)):
            stored += [
                numpy_helper.from_array(levels, f"{name}/levels"),
                numpy_helper.from_array(steps, f"{name}/steps"),
            ]
            nodes.append(helper.make_node("Cast", [f"{name}/levels"], [f"{name}/float"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{name}/float", f"{name}/steps"], [name]))
        else:
            stored.append(numpy_helper.from_array(values.astype("float16"), f"{name}/half"))
            nodes.append(helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT))
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(stored)
    computed = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*nodes, *computed])


def _in_8_bits(values):
    """Round weights to 8 bits. Each weight becomes a level (a whole number), multiplied by a step (a float).

    All weights with the same index along one axis share a step. The axis that gives the smallest error is chosen.

    Args:
        values: the weights, a float32 array.

    Returns:
        The levels, an int8 array of the same shape; the steps, a float32 array that broadcasts with the levels; and the
        relative error of the rounded weights, a float.
    """
    best, size = None, np.sqrt(np.mean(values**2)) + np.finfo("float32").tiny
    for axis in range(values.ndim):
        others = tuple(each for each in range(values.ndim) if each != axis)
        steps = np.maximum(np.abs(values).max(axis=others, keepdims=True) / 127, np.finfo("float32").tiny)
        levels, steps = np.rint(values / steps).astype("int8"), steps.astype("float32")
        error = np.sqrt(np.mean((levels * steps - values) ** 2)) / size
        if best is None or error < best[2]:
            best = levels, steps, error
    return best


def _check_graphs(captioner, encoder, folder):
    """Check that the ONNX graphs and the captioner predict nearly the same first word of the sample photo's caption.

    Args:
        captioner: a Captioner.
        encoder: the encoder of the captioner, computing in float32.
        folder: the folder with the graphs, a Path.

    Raises:
        InputError: the probability of any word of the vocabulary differs by .05 or more.
    """
    import onnxruntime

    sessions = {
        name: onnxruntime.InferenceSession(gzip.decompress((folder / f"{name}.onnx{_PACKED}").read_bytes()))
        for name in ("encoder", "step")
    }
    pixels = load_pixels(sample_photo(), encoder.image_size)[None]
    names = [each.name for each in sessions["encoder"].get_outputs()]
    outputs = dict(zip(names, sessions["encoder"].run(names, {"pixels": pixels})))
    for name in ("worth", "detail"):  # the page reads these itself
        outputs.pop(name, None)
    words = np.full((1, 1), START, "int32")
    (written,) = sessions["step"].run(["log_probabilities"], {"words": words, **outputs})
    memory = captioner.decoder.remember(encoder.regions(pixels))
    logits, _, _ = captioner.decoder.step(words, captioner.decoder.initial_state(memory, 1), memory)
    difference = np.abs(np.exp(written) - ops.convert_to_numpy(ops.softmax(logits, axis=-1))).max()
    if not difference < 0.05:
        raise InputError(
            f"{folder}: a word's probability differs by {difference:.2f} from that of the model; do not use this export"
        )


def _write_list(folder):
    """Write `files.json`, the list of files that the web page must load. `folder` is the folder of the page, a Path.

    The list has the size in bytes of each file of the model and of onnxruntime-web, and a hash of all contents, which
    serves as a version.
    """
    names = [f"{wing}/{path.name}" for wing in ("model", "runtime") for path in sorted((folder / wing).iterdir())]
    digest, sizes = hashlib.sha256(), {}
    for name in names:
        content = (folder / name).read_bytes()
        sizes[name] = len(content)
        digest.update(name.encode() + b"\0" + content)
    text = json.dumps({"version": digest.hexdigest()[:16], "bytes": sizes}, indent=1)
    (folder / "files.json").write_text(text + "\n", encoding="utf-8")
