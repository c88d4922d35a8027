"""List the convolutional networks that can be used as encoders."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """Describe a network of keras.applications that can be used as an encoder.

    Args:
        application: the name of the network's module in keras.applications.
        constructor: the name of the network's function in that module.
        layer: the name of the default output layer. A ReLU makes its outputs, so they are never negative.
        weights_file: the name of Keras's file of ImageNet weights without the classification layers.
        weights_md5: the MD5 of that file.
        general: the name of the last layer that fine-tuning does not change by default. Its features are
            general, that is, useful for any task.
        dense: False if the network has depthwise convolutions. They are slower in bfloat16 on CPUs, so
            float32 is then the default precision.
        pace: the encoder's learning rate as a fraction of the decoder's. It is smaller for networks
            without batch normalisation, in which the same step has a larger effect.
        options: further arguments of the constructor, as (name, value) pairs.
        scenes: the path, in this repository, of weights that `pretrain.py` trained on generated scenes,
            or None if there are no such weights.
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
        """Return the web address from which Keras downloads the ImageNet weights, a str."""
        return f"https://storage.googleapis.com/tensorflow/keras-applications/{self.application}/{self.weights_file}"


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
