"""Convolutional networks that turn pixels into a grid of regions."""

import copy
import hashlib
import json
import os
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
from keras import ops

from utils.errors import InputError, shorten
from utils.features import quantised_weights
from utils.files import exists, is_file
from utils.runtime import backend
from utils.runtime.hardware import bfloat16_is_faster


@dataclass(frozen=True)
class Architecture:
    """An entry of the registry.

    Args:
        application: name of the module in keras.applications.
        constructor: name of the model in it.
        layer: the default output layer; rectified, so never negative.
        weights_file: what Keras calls its ImageNet weights without the top.
        weights_md5: of that file.
        general: the last layer whose features serve any task; fine-tuning leaves
            it and those before it alone.
        dense: whether the time goes into dense matrix products, where bfloat16
            pays; depthwise convolutions are slower in it on CPUs.
        pace: of the decoder's learning rate, what the network is tuned at beside it; without batch normalisation a step
            of the same size changes more.
        options: further arguments of the constructor.
        scenes: the file, in this repository, of weights that `pretrain.py` has learnt from drawn scenes.
    """

    application: str
    constructor: str
    layer: str
    weights_file: str
    weights_md5: str
    general: str
    dense: bool = True
    pace: float = 1.0
    options: tuple = ()
    scenes: str | None = None

    @property
    def weights_url(self):
        """The folder that Keras downloads the weights from."""
        return f"https://storage.googleapis.com/tensorflow/keras-applications/{self.application}"


ARCHITECTURES = {
    "vgg16": Architecture(
        application="vgg16",
        constructor="VGG16",
        layer="block5_conv3",
        weights_file="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        weights_md5="6d6bbae143d832006294945121d1f1fc",
        general="block3_pool",
        pace=0.2,
        scenes="models/vgg16/encoder.h5",
    ),
    "vgg19": Architecture(
        application="vgg19",
        constructor="VGG19",
        layer="block5_conv4",
        weights_file="vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        weights_md5="253f8cb515780f3b799900260a226db6",
        general="block3_pool",
        pace=0.2,
    ),
    "mobilenet": Architecture(
        application="mobilenet",
        constructor="MobileNet",
        layer="conv_pw_13_relu",
        weights_file="mobilenet_7_5_224_tf_no_top.h5",
        weights_md5="42d1a660b7a939fddf76531cde22deb6",
        general="conv_pw_3_relu",
        dense=False,
        options=(("alpha", 0.75),),
    ),
    "resnet50": Architecture(
        application="resnet",
        constructor="ResNet50",
        layer="conv5_block3_out",
        weights_file="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        weights_md5="4d473c1dd8becc155b73f8504c6f6626",
        general="conv3_block4_out",
    ),
}

# Model folders that come with the repository.
_MODELS = Path(__file__).parents[2] / "models"

# Seconds without an answer after which a download of weights is given up.
_DOWNLOAD_TIMEOUT = 20


def _imagenet_path(name):
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models" / ARCHITECTURES[name].weights_file


def imagenet_is_here(name):
    """Whether Keras's ImageNet weights of an encoder are on this machine, whole."""
    path = _imagenet_path(name)
    if not is_file(path):
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == ARCHITECTURES[name].weights_md5


def _imagenet_file(name):
    """The file of Keras's ImageNet weights, downloaded if it is not there whole.

    A file that is there is only ever replaced by one whose hash is right.
    """
    architecture, path = ARCHITECTURES[name], _imagenet_path(name)
    folder = path.parent
    if imagenet_is_here(name):
        return path
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
    try:
        whole = keras.utils.get_file(
            path.name,
            f"{architecture.weights_url}/{path.name}",
            cache_dir=folder,
            cache_subdir="downloads",
            file_hash=architecture.weights_md5,
        )
        os.replace(whole, path)
    except Exception as error:  # Keras raises bare Exception for URL failures
        state = "are not the published file" if exists(path) else "are not on this machine"
        raise InputError(
            f"the ImageNet weights of {name} {state} and cannot be fetched ({_one_line(error)}): "
            f"{_offline_way(name)}download {architecture.weights_url}/{path.name} into {folder}, or give a file by "
            "--encoder_weights PATH"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    return path


def _offline_way(name):
    """Advice to use the weights of a model folder in this repository: of the same encoder, else of VGG16."""
    for candidate in dict.fromkeys((name, "vgg16")):
        for config in sorted(_MODELS.glob("*/config.json")):
            file = config.with_name("encoder.weights.h5")
            try:
                found = json.loads(config.read_text(encoding="utf-8"))["encoder"]["name"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if found == candidate and quantised_weights.is_compact(file):
                file = os.path.relpath(file) if file.is_relative_to(Path.cwd()) else file
                flags = (
                    f"--encoder_weights {file}" if candidate == name else f"--encoder {found} --encoder_weights {file}"
                )
                return f"use {flags}, which was fine-tuned for captions and needs no download, or "
    return ""


def _scenes_file(name):
    """The file of weights that drawn scenes trained, an InputError where an encoder has none."""
    scenes = ARCHITECTURES[name].scenes
    if scenes is None:
        with_them = ", ".join(each for each, architecture in ARCHITECTURES.items() if architecture.scenes)
        raise InputError(
            f"there are weights learnt from scenes for {with_them} only, not for {name}: give other --encoder_weights, "
            "or make them with pretrain.py"
        )
    return Path(__file__).parents[2] / scenes


# Values of --encoder_weights besides paths, each with the function that gives the file for an encoder's name.
_FILE_OF = {"imagenet": _imagenet_file, "scenes": _scenes_file, "random": None}


def check_names(name, weights):
    """Raise InputError if an encoder's name, or that of its weights, does not exist; nothing is read or fetched."""
    if name not in ARCHITECTURES:
        raise InputError(f"unknown encoder {name}: choose one of {', '.join(ARCHITECTURES)}")
    if weights == "scenes":
        _scenes_file(name)
    elif weights is not None and weights not in _FILE_OF:
        _check_file(Path(weights))


def _check_file(path):
    if not is_file(path):
        raise InputError(
            f"{shorten(path)}: no such file; --encoder_weights takes {', '.join(_FILE_OF)} or an .h5 file of weights"
        )


def learnt_size(name, weights):
    """Pixels a side that an encoder's weights of `pretrain.py` have learnt at; None for other weights."""
    file = _scenes_file(name) if weights == "scenes" and name in ARCHITECTURES else weights
    return quantised_weights.learnt_size(file) if quantised_weights.is_compact(file) else None


def _one_line(error, length=120):
    return " ".join(str(error).split())[:length]


def _policy(precision):
    """Keras's dtype policy: mixed, so that the variables, and with them the fingerprint, stay in float32."""
    return precision if precision == "float32" else f"mixed_{precision}"


def _randomise(network, seed):
    """He et al., "Delving deep into rectifiers", 2015: normal kernels of variance 2 / fan-in."""
    for number, layer in enumerate(network.layers):
        for variable in layer.trainable_weights:
            if variable.ndim > 1:
                initializer = keras.initializers.HeNormal(seed=seed * 1000 + number)
                variable.assign(initializer(variable.shape))


def _load_file(network, path):
    path = Path(path)
    _check_file(path)
    try:
        if quantised_weights.is_compact(path):
            quantised_weights.load_compact(network, path)
        else:
            network.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for a wrong file
        raise InputError(f"{path}: not weights of this encoder without its top ({_one_line(error)})") from None


class Encoder:
    """A network cut at one layer: uint8 pixels → float32 regions.

    Args:
        name: a key of `ARCHITECTURES`.
        weights: "imagenet", "scenes", "random" or the path of an .h5 file, of
            `pretrain.py` or in Keras's layout (`…_notop.h5` or `.weights.h5`);
            None for "trained" ones, which `load_trained` then puts in place.
        image_size: side of the square photos in pixels.
        layer: output layer; the architecture's default if None.
        seed: of random weights.
        precision: "float32", "bfloat16", or None for the faster one.
        mirror: whether regions are the mean of those of the photo and of its
            mirror image, turned back; steadier, at twice the work.

    Raises:
        InputError: unknown name or layer, weights that are missing or wrong.
    """

    def __init__(
        self,
        name: str,
        weights: str | Path | None = "imagenet",
        image_size: int = 224,
        layer: str | None = None,
        seed: int = 0,
        precision: str | None = None,
        mirror: bool = False,
    ) -> None:
        check_names(name, weights)
        architecture = ARCHITECTURES[name]
        self.name, self.image_size, self.seed = name, image_size, seed
        self.weights = "trained" if weights is None else str(weights)
        self.layer, self.mirror = layer or architecture.layer, mirror
        module = getattr(keras.applications, architecture.application)
        self.preprocess = module.preprocess_input
        if precision is None:
            precision = "bfloat16" if architecture.dense and bfloat16_is_faster() else "float32"
        self.precision = precision

        # Before the network is built, so that a missing file is told at once.
        find = _FILE_OF.get(self.weights, lambda name: self.weights)
        file = find and find(name)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(_policy(precision))
        try:
            network = getattr(module, architecture.constructor)(
                include_top=False,
                weights=None,
                input_shape=(image_size, image_size, 3),
                **dict(architecture.options),
            )
        finally:
            keras.config.set_dtype_policy(before)
        try:
            output = network.get_layer(self.layer).output
        except ValueError:
            raise InputError(f"encoder {name} has no layer {self.layer}") from None
        if len(output.shape) != 4:
            raise InputError(f"layer {self.layer} of {name} gives no grid of regions")
        self.network = keras.Model(network.input, output, name=name)
        if self.weights == "random":
            _randomise(self.network, seed)
        elif weights is not None:
            # Keras's files hold all layers, ours those that were trained.
            _load_file(self.network if quantised_weights.is_compact(file) else network, file)
        self.rows, self.columns, self.channels = output.shape[1:]
        self.above, self._upper = None, None
        self._encode = backend.compiled(self.regions, self.network.variables)

    def forward(self, pixels: backend.Tensor) -> backend.Tensor:
        """Regions as a tensor through which gradients flow, of the photos as they are; otherwise as `encode`.

        Batch normalisation keeps to its statistics, in training too.
        """
        if self.above:
            lower = self._upper.inputs[0]
            regions = self._upper(ops.reshape(ops.cast(pixels, lower.dtype), (-1, *lower.shape[1:])), training=False)
        else:
            regions = self.network(self.preprocess(ops.cast(pixels, "float32")), training=False)
        regions = ops.cast(regions, "float32")
        return ops.reshape(regions, (-1, self.rows * self.columns, self.channels))

    def regions(self, pixels: backend.Tensor) -> backend.Tensor:
        """As `encode`, but tensors."""
        if self.above or not self.mirror:
            return self.forward(pixels)
        both = self.forward(ops.concatenate([pixels, ops.flip(pixels, axis=2)], axis=0))
        photo, mirrored = ops.split(ops.reshape(both, (-1, self.rows, self.columns, self.channels)), 2)
        return ops.reshape((photo + ops.flip(mirrored, axis=2)) / 2, (-1, self.rows * self.columns, self.channels))

    def copy(self, mirror: bool | None = None, precision: str | None = None, above: str | None = None) -> "Encoder":
        """An Encoder of its own with the same weights; `mirror`, `precision` and `above` other than its if given.

        One with `above`, the name of a layer, takes that layer's outputs in place of pixels, float32 (photos, regions,
        channels) as `below` gives them; it does not average mirror images.
        """
        twin = copy.copy(self)
        twin.__dict__.pop("fingerprint", None)
        twin.__dict__.pop("operations", None)
        twin.mirror = self.mirror if mirror is None else mirror
        twin.precision = precision or self.precision

        def clone(layer):
            # An input has a type, no policy.
            policies = {} if isinstance(layer, keras.layers.InputLayer) else {"dtype": _policy(twin.precision)}
            return type(layer).from_config(layer.get_config() | policies)

        # Only what lies below the cut, unlike a new Encoder, which draws the weights of a whole network.
        twin.network = keras.models.clone_model(self.network, clone_function=clone)
        for layer in twin.network.layers:
            layer.trainable = True
        twin.network.set_weights(self.network.get_weights())
        twin.above = above or self.above
        twin._upper = twin.above and keras.Model(twin.network.get_layer(twin.above).output, twin.network.output)
        twin._encode = backend.compiled(twin.regions, twin.network.variables)
        return twin

    def below(self, layer: str) -> "Encoder":
        """An Encoder of its own that ends at a lower layer, whose outputs must not be negative.

        Args:
            layer: its name, or "default" for the architecture's.

        Raises:
            InputError: there is no such layer below the output.
        """
        twin = self.copy(mirror=False)
        twin.layer = self._lower_layer(layer)
        twin.network = keras.Model(twin.network.input, twin.network.get_layer(twin.layer).output, name=self.name)
        twin.rows, twin.columns, twin.channels = twin.network.output.shape[1:]
        twin._encode = backend.compiled(twin.regions, twin.network.variables)
        return twin

    def load_trained(self, file: str | Path) -> None:
        """Take the weights that `network.save_weights` of such an encoder or `save_compact` wrote.

        Raises:
            InputError: the file is not there, or is of another encoder.
        """
        _load_file(self.network, file)
        self.weights = "trained"
        self.__dict__.pop("fingerprint", None)

    def _lower_layer(self, layer):
        """The name of a layer below the output, that of the architecture for "default"."""
        if layer == "default":
            layer = ARCHITECTURES[self.name].general
        if layer not in [each.name for each in self.network.layers][:-1]:
            raise InputError(f"encoder {self.name} has no layer {layer} below {self.layer}")
        return layer

    def freeze_below(self, layer: str) -> None:
        """Make the layers after `layer` trainable, and `layer` and those before it not.

        Args:
            layer: its name, or "default" for the architecture's.

        Raises:
            InputError: there is no such layer below the output.
        """
        layer = self._lower_layer(layer)
        names = [each.name for each in self.network.layers]
        for number, each in enumerate(self.network.layers):
            each.trainable = number > names.index(layer)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Regions of photos, row by row from the top left.

        Args:
            pixels: uint8 (photos, image_size, image_size, 3), RGB.

        Returns:
            A float32 array (photos, rows * columns, channels).
        """
        return self._encode(pixels)

    def describe(self) -> dict:
        """What decides the regions, as a dict, for the record."""
        names = ("name", "weights", "layer", "image_size", "mirror", "fingerprint")
        return {name: getattr(self, name) for name in names} | {"regions": [self.rows, self.columns, self.channels]}

    @cached_property
    def operations(self) -> int:
        """Floating point operations of the convolutions for the regions of one photo (a multiply-add is two)."""
        total = 0
        for layer in self.network.layers:
            if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
                _, rows, columns, _ = layer.output.shape
                total += 2 * rows * columns * int(np.prod(layer.kernel.shape))
        return total * (2 if self.mirror else 1)

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 over all that decides the regions of a photo: weights, layer, size, network.

        Precision is not part of it: a cache made in bfloat16 also serves a machine without bfloat16. The regions
        differ by rounding. With VGG16 that changes 5 of 200 greedy captions.
        """
        # The 1 is what there was once a choice of; without it, model folders and caches would not fit.
        settings = f"{self.name} {self.layer} 1 {self.image_size} bilinear-squash{' mirror' * self.mirror}"
        digest = hashlib.sha256(settings.encode())
        for variable in self.network.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable), dtype="float32").tobytes())
        return digest.hexdigest()
