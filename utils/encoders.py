"""Convolutional networks that turn pixels into a grid of regions."""

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from utils.errors import InputError
from utils.hardware import bfloat16_is_faster


@dataclass(frozen=True)
class Architecture:
    """An entry of the registry.

    Args:
        application: name of the module in keras.applications.
        constructor: name of the model in it.
        layer: the default output layer; rectified, so never negative.
        weights_file: what Keras calls its ImageNet weights without the top.
        weights_url: folder that Keras downloads them from.
        dense: whether the time goes into dense matrix products, where bfloat16 pays.
        options: further arguments of the constructor.
    """

    application: str
    constructor: str
    layer: str
    weights_file: str
    weights_url: str
    dense: bool = True
    options: tuple = ()


_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"

# Depthwise convolutions are slower in bfloat16 on CPUs, hence dense=False.
ARCHITECTURES = {
    "vgg16": Architecture(
        "vgg16", "VGG16", "block5_conv3", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", f"{_STORAGE}/vgg16"
    ),
    "vgg19": Architecture(
        "vgg19", "VGG19", "block5_conv4", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", f"{_STORAGE}/vgg19"
    ),
    "mobilenet": Architecture(
        "mobilenet",
        "MobileNet",
        "conv_pw_13_relu",
        "mobilenet_7_5_224_tf_no_top.h5",
        f"{_STORAGE}/mobilenet",
        dense=False,
        options=(("alpha", 0.75),),
    ),
    "resnet50": Architecture(
        "resnet",
        "ResNet50",
        "conv5_block3_out",
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        f"{_STORAGE}/resnet",
    ),
}

# Seconds without an answer after which a download of weights is given up.
_DOWNLOAD_TIMEOUT = 20


def _weights_path(architecture):
    """Where Keras keeps the downloaded ImageNet weights."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    return home / "models" / architecture.weights_file


def _load_imagenet(name, build):
    """A network with Keras's ImageNet weights, downloaded if need be."""
    architecture = ARCHITECTURES[name]
    path = _weights_path(architecture)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
    # A file that an interrupted download left behind looks finished: fetch it once more.
    attempts = 2 if path.exists() else 1
    try:
        while True:
            try:
                return build("imagenet")
            except Exception as error:  # Keras raises bare Exception for URL failures
                attempts -= 1
                if attempts and os.access(path, os.W_OK):
                    path.unlink()
                    continue
                reason = " ".join(str(error).split())[:150]
                raise InputError(
                    f"no ImageNet weights for {name} ({reason}): download {architecture.weights_url}/{path.name} "
                    f"into {path.parent}, or name a file with --encoder_weights PATH"
                ) from None
    finally:
        socket.setdefaulttimeout(before)


def _randomise(network, seed):
    """He et al., "Delving deep into rectifiers", 2015: normal kernels of variance 2 / fan-in."""
    for number, layer in enumerate(network.layers):
        for variable in layer.trainable_weights:
            if variable.ndim > 1:
                initializer = keras.initializers.HeNormal(seed=seed * 1000 + number)
                variable.assign(initializer(variable.shape))


def _load_file(network, path):
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; --encoder_weights takes imagenet, random or a .h5 file of weights")
    try:
        network.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for a wrong file
        reason = " ".join(str(error).split())[:150]
        raise InputError(f"{path}: not weights of this encoder without its top ({reason})") from None


class Encoder:
    """A network cut at one layer: uint8 pixels → float32 regions.

    Args:
        name: a key of `ARCHITECTURES`.
        weights: "imagenet", "random" or the path of an .h5 file in Keras's
            layout (`…_notop.h5` or `.weights.h5`).
        image_size: side of the square photos in pixels.
        layer: output layer; the architecture's default if None.
        seed: of random weights.
        precision: "float32", "bfloat16", or None for the faster one.

    Raises:
        InputError: unknown name or layer, weights that are missing or wrong.
    """

    def __init__(self, name, weights="imagenet", image_size=224, layer=None, seed=0, precision=None):
        if name not in ARCHITECTURES:
            raise InputError(f"unknown encoder {name}: choose one of {', '.join(ARCHITECTURES)}")
        architecture = ARCHITECTURES[name]
        self.name, self.weights, self.image_size, self.seed = name, str(weights), image_size, seed
        self.layer = layer or architecture.layer
        module = getattr(keras.applications, architecture.application)
        self._preprocess = module.preprocess_input
        if precision is None:
            precision = "bfloat16" if architecture.dense and bfloat16_is_faster() else "float32"
        self.precision = precision

        def build(values):
            before = keras.config.dtype_policy()
            # Mixed: the variables, and so the fingerprint, stay in float32.
            keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
            try:
                return getattr(module, architecture.constructor)(
                    include_top=False,
                    weights=values,
                    input_shape=(image_size, image_size, 3),
                    **dict(architecture.options),
                )
            finally:
                keras.config.set_dtype_policy(before)

        if self.weights == "imagenet":
            network = _load_imagenet(name, build)
        else:
            network = build(None)
            if self.weights == "random":
                _randomise(network, seed)
            else:
                _load_file(network, self.weights)
        try:
            output = network.get_layer(self.layer).output
        except ValueError:
            raise InputError(f"encoder {name} has no layer {self.layer}") from None
        if len(output.shape) != 4:
            raise InputError(f"layer {self.layer} of {name} gives no grid of regions")
        self.network = keras.Model(network.input, output, name=name)
        self.rows, self.columns, self.channels = output.shape[1:]
        self._encode = tf.function(self._forward, autograph=False, reduce_retracing=True)

    def _forward(self, pixels):
        inputs = self._preprocess(tf.cast(pixels, "float32"))
        regions = tf.cast(self.network(inputs, training=False), "float32")
        return tf.reshape(regions, (-1, self.rows * self.columns, self.channels))

    def encode(self, pixels):
        """Regions of photos, row by row from the top left.

        Args:
            pixels: uint8 (photos, image_size, image_size, 3), RGB.

        Returns:
            A float32 array (photos, rows * columns, channels).
        """
        return self._encode(tf.convert_to_tensor(pixels)).numpy()

    @cached_property
    def operations(self):
        """Floating point operations of the convolutions for one photo (a multiply-add is two)."""
        total = 0
        for layer in self.network.layers:
            if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
                _, rows, columns, _ = layer.output.shape
                total += 2 * rows * columns * int(np.prod(layer.kernel.shape))
        return total

    @cached_property
    def fingerprint(self):
        """A SHA-256 over all that decides the regions of a photo: weights, layer, size, network.

        The arithmetic's precision is left out, because it changes no caption:
        a cache made with bfloat16 serves a machine without it.
        """
        digest = hashlib.sha256(f"{self.name} {self.layer} {self.image_size} bilinear-squash".encode())
        for variable in self.network.weights:
            digest.update(np.ascontiguousarray(variable.numpy(), dtype="float32").tobytes())
        return digest.hexdigest()
