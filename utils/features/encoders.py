"""Compute the regions of photos with encoders, convolutional networks without their classification layers.

A region is one cell of the output grid of a convolutional layer: a vector with one value per channel.
"""

import copy
import hashlib
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
from keras import ops

from utils.errors import InputError
from utils.features.architectures import ARCHITECTURES
from utils.features.encoder_weights import check_names, find_file, load_file, randomise
from utils.features.quantised_weights import is_compact
from utils.runtime import backend
from utils.runtime.hardware import bfloat16_is_faster


def _policy(precision):
    """Return the name of Keras's dtype policy for "float32" or "bfloat16". The weights stay in float32."""
    return precision if precision == "float32" else f"mixed_{precision}"


class Encoder:
    """Compute the regions of photos: the outputs of one layer of a convolutional network.

    Args:
        name: "vgg16", "vgg19", "mobilenet" or "resnet50".
        weights: "imagenet", "scenes" (trained by `pretrain.py` on generated scenes), "random", the path of
            an .h5 file, or None if `load_trained` will load the weights. The file can be the
            `encoder.weights.h5` of a model folder with 8-bit weights, a file of `pretrain.py`, or a file
            of Keras (`…_notop.h5` or `.weights.h5`).
        image_size: width and height of the input in pixels.
        layer: the name of the output layer; None for the architecture's default.
        seed: the random seed of random weights.
        precision: "float32", "bfloat16", or None for the one that is faster on this machine.
        mirror: True to compute the regions of the photo and of its mirror image, flip the regions of the
            mirror image back, and return the mean of both. This needs twice the time.

    Attributes:
        network: the Keras model from pixels to regions.
        rows, columns: the size of the grid of regions.
        channels: the number of values per region.
        above: None if the input is pixels. If the input is the output of a lower layer, the name of this layer.

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
        file = find_file(name, self.weights)
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
            randomise(self.network, seed)
        elif weights is not None:
            # Keras's files have all layers; 8-bit files have the layers up to the output.
            load_file(self.network if is_compact(file) else network, file)
        self.rows, self.columns, self.channels = output.shape[1:]
        self.above, self._upper = None, None
        self._encode = backend.compiled(self.regions, self.network.variables)

    def forward(self, pixels: backend.Tensor) -> backend.Tensor:
        """Compute the regions of photos with gradients, for fine-tuning. Mirror images are not used.

        Batch normalisation always uses its stored means and variances.

        Args:
            pixels: a tensor (photos, image_size, image_size, 3), RGB, 0 to 255. An Encoder whose attribute
                `above` is the name of a layer needs the outputs of this layer instead of pixels, a tensor
                (photos, regions, channels).

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
        """Compute the regions of photos from a tensor, inside a compiled function.

        If the attribute `mirror` is True, the mirror images of the photos are used, too.

        Args:
            pixels: a tensor (photos, image_size, image_size, 3), RGB, 0 to 255. An Encoder whose attribute
                `above` is the name of a layer needs the outputs of this layer instead of pixels, a tensor
                (photos, regions, channels).

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
            mirror: True to use also the mirror images of photos; None for the value of this Encoder.
            precision: "float32" or "bfloat16"; None for the value of this Encoder.
            above: the name of a layer, or None. If it is given, the input of the copy is not pixels, but
                the outputs of this layer, a float32 array (photos, regions, channels). The method `below`
                makes an Encoder that computes these outputs. Mirror images are then not used.

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
        """Make a new Encoder with the same weights, whose outputs are those of an earlier layer.

        Args:
            layer: the name of the layer, or "default" for the last layer that fine-tuning does not change if
                the user names no layer. The layer's outputs must be 0 or more, as after a ReLU, because the cache
                stores them without a sign.

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
            file: a file that Keras's `save_weights` or this program's `save_compact` has written.

        Raises:
            InputError: the file does not exist, or has the weights of another encoder.
        """
        load_file(self.network, file)
        self.weights = "trained"
        self.__dict__.pop("fingerprint", None)

    def _lower_layer(self, layer):
        """Check the name of a layer, a str, and return it.

        "default" means the last layer that fine-tuning does not change if the user names no layer.

        Raises:
            InputError: there is no such layer before the output.
        """
        if layer == "default":
            layer = ARCHITECTURES[self.name].general
        if layer not in [each.name for each in self.network.layers][:-1]:
            raise InputError(f"encoder {self.name} has no layer {layer} before {self.layer}")
        return layer

    def freeze_below(self, layer: str) -> None:
        """Freeze `layer` and all layers before it: training does not change them. The layers after it become trainable.

        Args:
            layer: the name of the layer, or "default" for the last layer that is usually frozen in this network.

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
        """Compute a SHA-256 of all that determines the regions: network, layer, image size, mirror images, weights.

        The precision is not included. So a cache that was made in bfloat16 is
        also used on a machine without bfloat16, although the regions differ by
        rounding. With VGG16, the rounding changes 5 of 200 greedy captions.
        """
        # `1` is the former `pool` setting, kept so that old fingerprints stay valid.
        settings = f"{self.name} {self.layer} 1 {self.image_size} bilinear-squash{' mirror' * self.mirror}"
        digest = hashlib.sha256(settings.encode())
        for variable in self.network.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable), dtype="float32").tobytes())
        return digest.hexdigest()
