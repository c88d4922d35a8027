"""Encoder and decoder as one model, for training."""

import keras


class EndToEnd(keras.Model):
    """From pixels, or from regions extracted before, to the logits of words.

    The encoder works as in use, with batch normalisation at its ImageNet
    statistics: a batch of photos is too small to replace them.

    Args:
        decoder: an AttentionDecoder.
        encoder: an Encoder that is trained too, or None to take regions.
    """

    def __init__(self, decoder, encoder=None):
        super().__init__()
        self.decoder = decoder
        self.encoder = encoder
        # Keras follows layers only, and an Encoder is none.
        self._network = encoder and encoder.network
        self.built = True

    def regions(self, inputs):
        """Float32 (batch, regions, channels) of pixels (batch, size, size, 3), or of regions as they are."""
        return self.encoder.forward(inputs) if self.encoder else inputs

    def call(self, inputs, training=False):
        """Float32 logits (batch, captions, length, vocabulary), as `AttentionDecoder.call`."""
        inputs, words = inputs
        return self.decoder((self.regions(inputs), words), training=training)
