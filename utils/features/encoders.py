"""Compute the regions of photos with encoders, convolutional networks without their classification layers.

A region is one cell of the output grid of a convolutional layer: a vector with one value per channel.
"""

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

from utils.errors import InputError, reason, shorten
from utils.features import quantised_weights
from utils.files import exists, is_file
from utils.runtime import backend
from utils.runtime.hardware import bfloat16_is_faster


@dataclass(frozen=True)
class Architecture:
    """Describe a network of keras.applications that can be used as an encoder.

    Args:
        application: the name of the network's module in keras.applications.
        constructor: the name of the network's function in that module.
        layer: the name of the default output layer. A ReLU makes its outputs, so they are never negative.
        weights_file: the name of Keras's file of ImageNet weights without the classification layers.
        weights_md5: the MD5 of that file.
        general: the name of a layer. By default, fine-tuning changes only the layers after it, because
            the features of this layer are useful for any task.
        dense: False if the network has depthwise convolutions. They are slower in bfloat16 on CPUs, so
            float32 is then the default precision.
        pace: the encoder's learning rate as a fraction of the decoder's. It is smaller for networks
            without batch normalisation, in which the same step has a larger effect.
        options: further arguments of the constructor, as (name, value) pairs.
        scenes: the path, in this repository, of weights that `pretrain.py` trained on generated scenes,
            or None.
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
        """Return the address of the folder from which Keras downloads the weights."""
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

# Seconds without an answer after which a download fails.
_DOWNLOAD_TIMEOUT = 20


def _imagenet_path(name):
    """Return the path where Keras keeps the ImageNet weights of an encoder."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models" / ARCHITECTURES[name].weights_file


def imagenet_is_here(name):
    """Return True if the complete file of an encoder's ImageNet weights is on this machine.

    Args:
        name: a key of `ARCHITECTURES`.
    """
    path = _imagenet_path(name)
    if not is_file(path):
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == ARCHITECTURES[name].weights_md5


def _imagenet_file(name):
    """Return the path of an encoder's ImageNet weights. The file is downloaded if it is missing or incomplete.

    An existing file is replaced only by a file with the right hash.

    Raises:
        InputError: the file cannot be downloaded.
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
            f"the ImageNet weights of {name} {state} and cannot be fetched ({reason(error)}): "
            f"{_offline_way(name)}download {architecture.weights_url}/{path.name} into {folder}, or give a file by "
            "--encoder_weights PATH"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    return path


def _offline_way(name):
    """Write advice for an error message: to use encoder weights from a model folder of this repository.

    Args:
        name: the name of the encoder that the user chose. If no model folder has its weights, those of
            VGG16 are advised.

    Returns:
        A part of a sentence that ends with "or ", or "" if there are no such weights.
    """
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
    """Return the path of an encoder's weights that were trained on generated scenes.

    Raises:
        InputError: the encoder has no such weights.
    """
    scenes = ARCHITECTURES[name].scenes
    if scenes is None:
        available = ", ".join(each for each, architecture in ARCHITECTURES.items() if architecture.scenes)
        raise InputError(
            f"--encoder_weights scenes is available for {available} only, not for {name}: choose other weights, or "
            "make some with pretrain.py"
        )
    return Path(__file__).parents[2] / scenes


# The values of --encoder_weights besides paths. For each value, a function that takes an encoder's name and returns
# the path of the weights.
_FILE_OF = {"imagenet": _imagenet_file, "scenes": _scenes_file, "random": None}


def check_names(name, weights):
    """Check that an encoder and its weights exist. No file is read or downloaded.

    Args:
        name: the name of the encoder.
        weights: as for `Encoder`.

    Raises:
        InputError: the name is unknown, or the file of weights does not exist.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"unknown encoder {name}: choose one of {', '.join(ARCHITECTURES)}")
    if weights == "scenes":
        _scenes_file(name)
    elif weights is not None and weights not in _FILE_OF:
        _check_file(Path(weights))


def _check_file(path):
    """Raise InputError if a file of weights does not exist."""
    if not is_file(path):
        raise InputError(
            f"{shorten(path)}: no such file; --encoder_weights accepts {', '.join(_FILE_OF)} or an .h5 file of weights"
        )


def learnt_size(name, weights):
    """Return the image size, in pixels, with which an encoder's weights were trained.

    Args:
        name: the name of the encoder.
        weights: as for `Encoder`.

    Returns:
        An int, or None if the weights are not in a file of `save_compact`.
    """
    file = _scenes_file(name) if weights == "scenes" and name in ARCHITECTURES else weights
    return quantised_weights.learnt_size(file) if quantised_weights.is_compact(file) else None


def _policy(precision):
    """Return the name of Keras's dtype policy for a precision. The weights, and so the fingerprint, stay in float32."""
    return precision if precision == "float32" else f"mixed_{precision}"


def _randomise(network, seed):
    """Set a network's kernels to random values of variance 2 / (number of inputs of an output value).

    See He et al., "Delving deep into rectifiers", 2015.
    """
    for number, layer in enumerate(network.layers):
        for variable in layer.trainable_weights:
            if variable.ndim > 1:
                initializer = keras.initializers.HeNormal(seed=seed * 1000 + number)
                variable.assign(initializer(variable.shape))


def _load_file(network, path):
    """Load weights from a file of `save_compact` or of Keras.

    Raises:
        InputError: the file does not exist, or its weights are not those of this network.
    """
    path = Path(path)
    _check_file(path)
    try:
        if quantised_weights.is_compact(path):
            quantised_weights.load_compact(network, path)
        else:
            network.load_weights(path)
    except Exception as error:  # h5py and Keras raise many types for a wrong file
        raise InputError(f"{path}: not weights of this encoder without its top layers ({reason(error)})") from None


class Encoder:
    """Compute the regions of photos: the outputs of one layer of a convolutional network.

    Args:
        name: a key of `ARCHITECTURES`.
        weights: "imagenet", "scenes", "random", the path of an .h5 file, or None if `load_trained` will
            load the weights. The file can be the `encoder.weights.h5` of a model folder with 8-bit
            weights, a file of `pretrain.py`, or a file of Keras (`…_notop.h5` or `.weights.h5`).
        image_size: width and height of the input in pixels.
        layer: the name of the output layer; None for the architecture's default.
        seed: the random seed of random weights.
        precision: "float32", "bfloat16", or None for the one that is faster on this machine.
        mirror: True to compute the regions of the photo and of its mirror image, flip the latter back,
            and return the mean of both. This needs twice the time.

    Attributes:
        network: the Keras model from pixels to regions.
        rows, columns: the size of the grid of regions.
        channels: the number of values per region.
        above: None, or the name of the layer whose outputs are the input; see `copy`.

    Raises:
        InputError: the name or layer is unknown, or the weights are missing or do not fit.

    Example:
        encoder = Encoder("vgg16")
        regions = encoder.encode(load_pixels("photo.jpg", encoder.image_size)[None])  # (1, 196, 512)
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

        # The file is looked for before the network is built, so that a missing file is reported at once.
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
            raise InputError(f"encoder {name} has no layer {self.layer}; its default is {architecture.layer}") from None
        if len(output.shape) != 4:
            raise InputError(f"layer {self.layer} of {name} has no grid of regions as output; choose an earlier layer")
        self.network = keras.Model(network.input, output, name=name)
        if self.weights == "random":
            _randomise(self.network, seed)
        elif weights is not None:
            # Keras's files have all layers; 8-bit files have the layers up to the output.
            _load_file(self.network if quantised_weights.is_compact(file) else network, file)
        self.rows, self.columns, self.channels = output.shape[1:]
        self.above, self._upper = None, None
        self._encode = backend.compiled(self.regions, self.network.variables)

    def forward(self, pixels: backend.Tensor) -> backend.Tensor:
        """Compute regions with gradients, for fine-tuning. Mirror images are not used.

        Batch normalisation always uses its stored means and variances.

        Args:
            pixels: a tensor (photos, image_size, image_size, 3), RGB, 0 to 255. If `above` is set, the
                outputs of that layer.

        Returns:
            A float32 tensor (photos, rows * columns, channels).
        """
        if self.above:
            lower = self._upper.inputs[0]
            regions = self._upper(ops.reshape(ops.cast(pixels, lower.dtype), (-1, *lower.shape[1:])), training=False)
        else:
            regions = self.network(self.preprocess(ops.cast(pixels, "float32")), training=False)
        regions = ops.cast(regions, "float32")
        return ops.reshape(regions, (-1, self.rows * self.columns, self.channels))

    def regions(self, pixels: backend.Tensor) -> backend.Tensor:
        """Compute the same regions as `encode`, but take and return a tensor.

        Args:
            pixels: as for `forward`.

        Returns:
            A float32 tensor (photos, rows * columns, channels).
        """
        if self.above or not self.mirror:
            return self.forward(pixels)
        both = self.forward(ops.concatenate([pixels, ops.flip(pixels, axis=2)], axis=0))
        photo, mirrored = ops.split(ops.reshape(both, (-1, self.rows, self.columns, self.channels)), 2)
        return ops.reshape((photo + ops.flip(mirrored, axis=2)) / 2, (-1, self.rows * self.columns, self.channels))

    def copy(self, mirror: bool | None = None, precision: str | None = None, above: str | None = None) -> "Encoder":
        """Make a new Encoder with the same weights.

        Args:
            mirror: as for Encoder; None for the value of this Encoder.
            precision: as for Encoder; None for the value of this Encoder.
            above: the name of a layer, or None. If it is given, the input of the copy is not pixels, but
                the outputs of this layer: a float32 array (photos, regions, channels), as the Encoder
                that `below` makes for the same layer returns it. Mirror images are then not used.

        Returns:
            An Encoder.
        """
        twin = copy.copy(self)
        twin.__dict__.pop("fingerprint", None)
        twin.__dict__.pop("operations", None)
        twin.mirror = self.mirror if mirror is None else mirror
        twin.precision = precision or self.precision

        def clone(layer):
            # Input layers have a dtype, but no policy.
            policies = {} if isinstance(layer, keras.layers.InputLayer) else {"dtype": _policy(twin.precision)}
            return type(layer).from_config(layer.get_config() | policies)

        # Cloning builds only the layers up to the output. A new Encoder would initialise the whole network.
        twin.network = keras.models.clone_model(self.network, clone_function=clone)
        for layer in twin.network.layers:
            layer.trainable = True
        twin.network.set_weights(self.network.get_weights())
        twin.above = above or self.above
        twin._upper = twin.above and keras.Model(twin.network.get_layer(twin.above).output, twin.network.output)
        twin._encode = backend.compiled(twin.regions, twin.network.variables)
        return twin

    def below(self, layer: str) -> "Encoder":
        """Make a new Encoder with the same weights whose output is an earlier layer.

        Args:
            layer: the name of the layer, or "default" for the architecture's `general`. The outputs of
                the layer must not be negative.

        Returns:
            An Encoder.

        Raises:
            InputError: there is no such layer before the output.
        """
        twin = self.copy(mirror=False)
        twin.layer = self._lower_layer(layer)
        twin.network = keras.Model(twin.network.input, twin.network.get_layer(twin.layer).output, name=self.name)
        twin.rows, twin.columns, twin.channels = twin.network.output.shape[1:]
        twin._encode = backend.compiled(twin.regions, twin.network.variables)
        return twin

    def load_trained(self, file: str | Path) -> None:
        """Load the weights that training has written to a file.

        Args:
            file: a file of `network.save_weights` or `save_compact`.

        Raises:
            InputError: the file does not exist, or has the weights of another encoder.
        """
        _load_file(self.network, file)
        self.weights = "trained"
        self.__dict__.pop("fingerprint", None)

    def _lower_layer(self, layer):
        """Check the name of a layer and return it; for "default", return the architecture's `general`.

        Raises:
            InputError: there is no such layer before the output.
        """
        if layer == "default":
            layer = ARCHITECTURES[self.name].general
        if layer not in [each.name for each in self.network.layers][:-1]:
            raise InputError(f"encoder {self.name} has no layer {layer} before {self.layer}")
        return layer

    def freeze_below(self, layer: str) -> None:
        """Make the layers after `layer` trainable. This layer and the layers before it are not trained.

        Args:
            layer: the name of the layer, or "default" for the architecture's `general`.

        Raises:
            InputError: there is no such layer before the output.
        """
        layer = self._lower_layer(layer)
        names = [each.name for each in self.network.layers]
        for number, each in enumerate(self.network.layers):
            each.trainable = number > names.index(layer)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the regions of photos.

        Args:
            pixels: a uint8 array (photos, image_size, image_size, 3), RGB.

        Returns:
            A float32 array (photos, rows * columns, channels). Regions are ordered row by row from the top left.
        """
        return self._encode(pixels)

    def describe(self) -> dict:
        """Return the settings that determine the regions, as a dict that can be written as JSON."""
        names = ("name", "weights", "layer", "image_size", "mirror", "fingerprint")
        return {name: getattr(self, name) for name in names} | {"regions": [self.rows, self.columns, self.channels]}

    @cached_property
    def operations(self) -> int:
        """Count the floating-point operations of the convolutions for one photo. A multiply-add counts as two."""
        total = 0
        for layer in self.network.layers:
            if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
                _, rows, columns, _ = layer.output.shape
                total += 2 * rows * columns * int(np.prod(layer.kernel.shape))
        return total * (2 if self.mirror else 1)

    @cached_property
    def fingerprint(self) -> str:
        """Compute a SHA-256 of everything that determines the regions: network, layer, image size, mirror, weights.

        The precision is not included. So a cache that was made in bfloat16 is
        also used on a machine without bfloat16, although the regions differ by
        rounding. With VGG16, this changes 5 of 200 greedy captions.
        """
        # `1` is the former `pool` setting, kept so that old fingerprints stay valid.
        settings = f"{self.name} {self.layer} 1 {self.image_size} bilinear-squash{' mirror' * self.mirror}"
        digest = hashlib.sha256(settings.encode())
        for variable in self.network.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable), dtype="float32").tobytes())
        return digest.hexdigest()
