"""Join encoder and decoder in one Keras model, for training."""

import keras


class EndToEnd(keras.Model):
    """Predict word logits from pixels or from cached regions: the Keras model that is trained.

    The encoder runs in inference mode. So its batch normalisation keeps the statistics of ImageNet. A batch of photos
    is too small for new statistics.

    Args:
        decoder: an AttentionDecoder.
        encoder: an Encoder if the inputs are pixels; None if the inputs are regions.
    """

    def __init__(self, decoder, encoder=None):
        super().__init__()
        self.decoder = decoder
        self.encoder = encoder
        # Keras tracks layers only, and an Encoder is not a layer.
        self._network = encoder and encoder.network
        self.built = True

    def regions(self, inputs):
        """Compute the regions of a batch. If the model has no encoder, the inputs are regions and are not changed.

        Args:
            inputs: pixels (batch, size, size, 3), or regions, float (batch, regions, channels).

        Returns:
            Regions, float (batch, regions, channels).
        """
        return self.encoder.forward(inputs) if self.encoder else inputs

    def call(self, inputs, training=False):
        """Predict the next word at every position of the captions.

        Args:
            inputs: (pixels or regions, input words). The words are word numbers, int (batch, captions, length).
            training: True to apply dropout.

        Returns:
            Word logits, float32 (batch, captions, length, vocabulary).
        """
        inputs, words = inputs
        return self.decoder((self.regions(inputs), words), training=training)
