"""Batch normalisation for networks designed before it: trained with it, used without.

VGG from random weights hardly trains as it is. With batch normalisation between
every convolution and its rectifier it does, and afterwards the normalisation is a
factor and a shift that kernel and bias take over: Ioffe and Szegedy, "Batch
normalization", 2015.
"""

import keras
import numpy as np

_SUFFIX = "_normalised"


def _is_rectified(layer):
    return isinstance(layer, keras.layers.Conv2D) and layer.activation is keras.activations.relu


def normalised_twin(network, policy="float32"):
    """A network of the same layers and weights in which every rectified convolution is batch-normalised.

    Args:
        network: a sequential Keras model such as VGG16's convolutions, or one
            without rectified convolutions, which is copied as it is.
        policy: the dtype policy of the twin.

    Returns:
        A Keras model. Statistics of the normalisation are those of nothing yet
        (mean 0, variance 1): for it to do what `network` does, it must be trained.
    """

    def clone(layer):
        config = layer.get_config()
        config["dtype"] = policy
        if _is_rectified(layer):
            config["activation"] = None
        return type(layer).from_config(config)

    def call(layer, *arguments, **named):
        output = layer(*arguments, **named)
        if layer.name in rectified:
            normalisation = keras.layers.BatchNormalization(name=layer.name + _SUFFIX, momentum=0.98, dtype=policy)
            output = keras.layers.ReLU(dtype=policy)(normalisation(output))
        return output

    rectified = {layer.name for layer in network.layers if _is_rectified(layer)}
    twin = keras.models.clone_model(network, clone_function=clone, call_function=call)
    for layer in network.layers:
        if layer.weights:
            twin.get_layer(layer.name).set_weights(layer.get_weights())
    return twin


def fold(twin, network):
    """Give `network` the weights with which it does what its trained twin does when used."""
    for layer in network.layers:
        if not layer.weights:
            continue
        weights = twin.get_layer(layer.name).get_weights()
        if _is_rectified(layer):
            kernel, bias = weights
            normalisation = twin.get_layer(layer.name + _SUFFIX)
            gamma, beta, mean, variance = normalisation.get_weights()
            scale = gamma / np.sqrt(variance + normalisation.epsilon)
            weights = [kernel * scale, (bias - mean) * scale + beta]
        layer.set_weights(weights)
