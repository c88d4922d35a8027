"""Batch normalisation for networks without it, in training only.

VGG16 hardly trains from random weights. With batch normalisation between every convolution and its ReLU it does. After
training, the normalisation is folded into kernel and bias: Ioffe and Szegedy, "Batch normalization", 2015.
"""

import keras
import numpy as np

_SUFFIX = "_normalised"


def _is_rectified(layer):
    return isinstance(layer, keras.layers.Conv2D) and layer.activation is keras.activations.relu


def normalised_twin(network, policy="float32"):
    """A copy of a network with batch normalisation before every ReLU of a convolution.

    Args:
        network: sequential Keras model, such as the convolutions of VGG16. A network without such convolutions is
            copied unchanged.
        policy: Keras dtype policy of the copy.

    Returns:
        A Keras model with the same weights. Its normalisation has mean 0 and variance 1 until it is trained, so its
        outputs differ from the network's.
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
    """Set the weights of `network` so that it computes what its trained twin computes in inference mode.

    Args:
        twin: trained Keras model from `normalised_twin`.
        network: Keras model that the twin was made from.
    """
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
