"""Encoder and decoder as one Keras model, for training."""

import keras


class EndToEnd(keras.Model):
    """Model from pixels, or from cached regions, to word logits.

    The encoder runs in inference mode: its batch normalisation keeps the statistics of ImageNet, since a batch of
    photos is too small to replace them.

    Args:
        decoder: an AttentionDecoder.
        encoder: Encoder to train too, or None if the inputs are regions.
    """

    def __init__(self, decoder, encoder=None):
        super().__init__()
        self.decoder = decoder
        self.encoder = encoder
        # Keras tracks layers only, and an Encoder is not a layer.
        self._network = encoder and encoder.network
        self.built = True

    def regions(self, inputs):
        """Regions of pixels (batch, size, size, 3), or the inputs if there is no encoder: (batch, regions,
        channels)."""
        return self.encoder.forward(inputs) if self.encoder else inputs

    def call(self, inputs, training=False):
        """Word logits, float32 (batch, captions, length, vocabulary).

        Args:
            inputs: (pixels or regions, input words); words are int (batch, captions, length).
            training: whether dropout is on.
        """
        inputs, words = inputs
        return self.decoder((self.regions(inputs), words), training=training)
