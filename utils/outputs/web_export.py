"""Export of a captioner to a web page that captions photos in the visitor's browser. Any static host can serve it.

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

from utils.data.images import MAX_PIXELS, load_pixels, sample_photo
from utils.data.tokenizer import END, PAD, START, UNKNOWN
from utils.errors import InputError, reason
from utils.model.confidence import LEAST_LIKENESS
from utils.model.consensus import WEIGHT, Consensus
from utils.model.decoder import Memory, State
from utils.model.search import LENGTH_PENALTY, UNREPEATED
from utils.outputs.export import check_export

TEMPLATE = Path(__file__).with_name("web")

# Beam size of the page; the default of inference.py.
_BEAM_SIZE = 3

# Files of onnxruntime-web. The page loads the first three in browsers with WebGPU, the others elsewhere.
_RUNTIME = (
    "ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm",
    "ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm",
)  # fmt: skip

# Suffix of compressed files. Some hosts send ".gz" as a content encoding, so that the browser would decompress it.
_PACKED = ".gzip"

# Number of values below which a tensor stays in float32, because compressing it saves too little.
_LARGE = 1024

# Relative error below which 8 bits count as exact; float32 rounding causes errors of this size.
_EXACT = 1e-6

# Version of the ONNX operator set.
_OPSET = 17


def export_web(captioner, folder, model="a model folder", overwrite=False):
    """Write a folder that holds the page, onnxruntime-web and the captioner's graphs.

    Args:
        captioner: a Captioner.
        folder: the folder to write.
        model: the model folder that the captioner was loaded from; the page shows it.
        overwrite: whether to replace the files of an earlier export in a folder that is not empty.

    Returns:
        The folder's path.

    Raises:
        InputError: a package or npm is missing, the folder exists or cannot be written, or the graphs compute other
            probabilities than the captioner.
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
    """Check, before anything is loaded, that `export_web` can write.

    Args:
        folder, overwrite: as for `export_web`.

    Raises:
        InputError: a package or npm is missing, or the folder exists.
    """
    check_export("onnx", folder, overwrite)
    if not _installed_runtime() and not shutil.which("npm"):
        raise InputError(
            f"npm is not installed; it fetches onnxruntime-web {runtime_version()}: "
            "apt install npm, brew install node, or see https://nodejs.org"
        )


def runtime_version():
    """The version of onnxruntime-web that the page needs."""
    return json.loads((TEMPLATE / "package.json").read_text(encoding="utf-8"))["dependencies"]["onnxruntime-web"]


def _installed_runtime():
    """The folder where `npm install` has put onnxruntime-web beside the template; None without the right version."""
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
    """Copy the files of onnxruntime-web into the folder `target`, with compressed WebAssembly."""
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
    """Fetch onnxruntime-web into a folder, from npm's cache or its registry. Returns the package's folder."""
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
    # Without a time stamp, equal content gives equal files.
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def _write_model(captioner, folder, model):
    """Write the two graphs and `model.json`, which describes them for the page, into a folder."""
    folder.mkdir()
    encoder = captioner.encoder.copy(precision="float32")
    functions = {
        "encoder": encoder_function(encoder, captioner.decoder, captioner.consensus),
        "step": step_function(captioner.decoder, encoder.rows * encoder.columns),
    }
    for name, function in functions.items():
        graph = _convert(function)
        # Number of 200 greedy captions that change with 8 bits: 35 if MobileNet's weights are rounded, 3 for the
        # embeddings, 1 for the layer before them, none for the decoder's other matrices. These three therefore have
        # half precision. VGG16's weights are 8-bit values already.
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
        "confidence": consensus and confidence and confidence.to_dict() | {"least_likeness": LEAST_LIKENESS},
        "special": {"pad": PAD, "start": START, "end": END, "unknown": UNKNOWN},
        "vocabulary": captioner.tokenizer.words,
    }
    text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
    (folder / "model.json").write_text(text, encoding="utf-8")
    _check_graphs(captioner, encoder, folder)


def encoder_function(encoder, decoder, consensus=None):
    """The computations that run once per photo, as a tf.function for a converter.

    Its input is `pixels`, uint8 (1, size, size, 3). It returns a dict: `keys` and `values` (1, regions, …), the initial
    `hidden` and `cell` (1, 1, units) and, with a consensus, `worth` (1, vocabulary). `worth` is the summand of each
    word in a caption's likeness, before the division by the length of the caption's tf-idf vector.

    Args:
        encoder: an Encoder.
        decoder: an AttentionDecoder.
        consensus: a Consensus, or None.
    """
    size = encoder.image_size

    def encode(pixels):
        regions = encoder.regions(pixels)
        memory = decoder.remember(regions)
        state = decoder.initial_state(memory, 1)
        outputs = memory._asdict() | state._asdict()
        if consensus:
            # Tensors created outside this function would become inputs of the graph. Those of a new Consensus become
            # constants.
            copy = Consensus(*(getattr(consensus, name) for name in inspect.signature(Consensus).parameters))
            expected = ops.pad(copy.expectations(regions), ((0, 0), (0, 1)))
            places = np.full(len(consensus.rarity), len(consensus.expected_words), "int32")
            places[consensus.expected_words] = np.arange(len(consensus.expected_words))
            outputs["worth"] = ops.take(expected, places, axis=1) * consensus.rarity
        return {name: ops.cast(each, "float32") for name, each in outputs.items()}

    return tf.function(encode, [tf.TensorSpec((1, size, size, 3), "uint8", name="pixels")], autograph=False)


def step_function(decoder, places):
    """One decoder step for all hypotheses of a photo, as a tf.function for a converter.

    Its inputs are the previous `words`, int32 (1, beam), the state `hidden` and `cell` (1, beam, units), and the `keys`
    and `values` of `encoder_function`. It returns a dict: `log_probabilities` (1, beam, vocabulary), `attention`
    (1, beam, places), and the new state `next_hidden` and `next_cell`.

    Args:
        decoder: an AttentionDecoder.
        places: number of regions per photo.
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
    """Store a graph's weights in 8 or 16 bits. The runtime converts them to float32 when it loads the graph.

    Args:
        graph: an ONNX model, changed in place.
        precise: which tensors get 16 bits. None: all tensors that 8 bits do not represent exactly. A set of lengths:
            only tensors with an axis of one of these lengths, and vectors.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, stored, tables = [], [], {}
    for tensor in graph.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LARGE:
            stored.append(tensor)
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        # The output layer's weights are the transposed embeddings, so they are stored once.
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
    """Quantise weights to 8 bits, with one step per index of the axis that gives the smallest error.

    Args:
        values: float32 weights.

    Returns:
        Levels, int8; steps, float32; and the relative error. Levels times steps approximate the weights.
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
    """Raise InputError if ONNX Runtime computes word probabilities that differ from the captioner's by .05 or more."""
    import onnxruntime

    sessions = {
        name: onnxruntime.InferenceSession(gzip.decompress((folder / f"{name}.onnx{_PACKED}").read_bytes()))
        for name in ("encoder", "step")
    }
    pixels = load_pixels(sample_photo(), encoder.image_size)[None]
    names = [each.name for each in sessions["encoder"].get_outputs()]
    outputs = dict(zip(names, sessions["encoder"].run(names, {"pixels": pixels})))
    outputs.pop("worth", None)
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
    """Write `files.json`: a version, which is a hash of all files, and the size in bytes of each file."""
    names = [f"{wing}/{path.name}" for wing in ("model", "runtime") for path in sorted((folder / wing).iterdir())]
    digest, sizes = hashlib.sha256(), {}
    for name in names:
        content = (folder / name).read_bytes()
        sizes[name] = len(content)
        digest.update(name.encode() + b"\0" + content)
    text = json.dumps({"version": digest.hexdigest()[:16], "bytes": sizes}, indent=1)
    (folder / "files.json").write_text(text + "\n", encoding="utf-8")
