"""Add batch normalisation to a network for its training, and remove it afterwards.

From random weights, VGG16 hardly learns. It learns with batch normalisation between every convolution and its ReLU
(Ioffe and Szegedy, "Batch normalization", 2015). After training, the normalisation is folded into kernels and biases.
"""

import keras
import numpy as np

_SUFFIX = "_normalised"


def _is_rectified(layer):
    return isinstance(layer, keras.layers.Conv2D) and layer.activation is keras.activations.relu


def normalised_twin(network, policy="float32"):
    """Copy a network, with batch normalisation between every convolution and its ReLU.

    Args:
        network: Keras model, such as the convolutions of VGG16. A network without convolutions that have
            `activation="relu"` is copied unchanged.
        policy: Keras dtype policy of the copy.

    Returns:
        A Keras model with the same weights. Its batch normalisation begins with moving mean 0 and moving variance 1.
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
    """Fold the batch normalisation of a trained copy into the weights of the original network.

    Afterwards `network` computes the same outputs as `twin` in inference mode.

    Args:
        twin: the trained copy, a Keras model with batch normalisation, which `normalised_twin` has made.
        network: the original network, a Keras model. Its weights are replaced.
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
