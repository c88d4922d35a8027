"""Ensembles: several models that write captions together. An ensemble is used like a single model, as a Captioner."""

import numpy as np
from keras import ops

from utils.captioner import Captioner
from utils.errors import InputError
from utils.model.consensus import JointConsensus
from utils.model.decoder import State
from utils.model.model_folder import check_together


class EnsembleEncoder:
    """Hold the encoders of an ensemble. Their regions are concatenated along the channels.

    The grid of regions is the finest grid of all encoders. A region of a coarser grid is repeated in all regions of the
    finest grid that it covers. The decoder for the coarser grid divides its attention among the copies; the words that
    it writes stay the same.

    Args:
        encoders: a list of Encoders with the same image size. The numbers of rows and columns of the finest grid are
            multiples of those of every other grid.
    """

    def __init__(self, encoders):
        self.encoders, self.image_size = encoders, encoders[0].image_size
        self.rows, self.columns = max((encoder.rows, encoder.columns) for encoder in encoders)

    def encode(self, pixels):
        """Compute the regions of photos with all encoders.

        Args:
            pixels: uint8 (photos, image size, image size, 3), RGB.

        Returns:
            Regions, float32 (photos, regions, sum of the channels).
        """
        return self.join([encoder.encode(pixels) for encoder in self.encoders])

    def join(self, parts):
        """Concatenate the regions of all encoders for the same photos, along the channel axis.

        Regions of a coarser grid are first repeated until they fill the finest grid.

        Args:
            parts: a list with the regions of each encoder, float32 (photos, regions, channels).

        Returns:
            Regions of the finest grid, float32 (photos, regions, sum of the channels).
        """
        return np.concatenate([self._refine(*each) for each in zip(self.encoders, parts, strict=True)], axis=-1)

    def _refine(self, encoder, regions):
        """Adapt the regions of one encoder to the finest grid of all encoders.

        A region of a coarser grid is repeated in all regions of the finest grid that it covers.

        Args:
            encoder: the Encoder that has computed the regions.
            regions: regions of its own grid, float32 (photos, regions, channels).

        Returns:
            Regions, float32 (photos, rows * columns of the finest grid, channels).
        """
        grid = regions.reshape(len(regions), encoder.rows, encoder.columns, -1)
        for axis, times in ((1, self.rows // encoder.rows), (2, self.columns // encoder.columns)):
            grid = grid.repeat(times, axis)
        return grid.reshape(len(regions), self.rows * self.columns, -1)


class EnsembleDecoder:
    """Computes the mean probability of each next word over several decoders.

    The class has the methods of AttentionDecoder that a search needs. It cannot be trained.

    Args:
        decoders: a list of AttentionDecoders with the same vocabulary.
        channels: a list with the number of region channels of each decoder.
    """

    def __init__(self, decoders, channels):
        self.decoders = decoders
        self.vocabulary_size = decoders[0].vocabulary_size
        self.variables = [variable for decoder in decoders for variable in decoder.variables]
        self._channels = np.cumsum(channels)[:-1].tolist()
        self._units = np.cumsum([decoder.units for decoder in decoders])[:-1].tolist()

    def remember(self, regions):
        """Compute what depends only on the photo, and is used for every word.

        Args:
            regions: regions of all encoders, float32 (photos, regions, sum of the channels).

        Returns:
            A list with the Memory of each decoder: the keys and values of its attention.
        """
        parts = ops.split(regions, self._channels, axis=-1)
        return [decoder.remember(part) for decoder, part in zip(self.decoders, parts)]

    def initial_state(self, memory, captions):
        """Compute the states of the decoders before the first word.

        Args:
            memory: a list with the Memory of each decoder: the keys and values of its attention.
            captions: number of captions per photo.

        Returns:
            A State: the LSTM states of all decoders, concatenated along the units, float (photos, captions, units).
        """
        return self._join(
            [decoder.initial_state(each, captions) for decoder, each in zip(self.decoders, memory, strict=True)]
        )

    def step(self, words, state, memory):
        """Advance all captions by one word.

        Args:
            words: number of the previous word of each caption, int (batch, captions).
            state: a State: the LSTM states of all decoders before this word, concatenated along the units, float
                (batch, captions, units). The method `initial_state` makes the first one.
            memory: a list with the Memory of each decoder: the keys and values of its attention.

        Returns:
            The logarithm of the mean probability of each next word, float32 (batch, captions, vocabulary); the new
            State; the mean attention weights, float32 (batch, captions, regions).
        """
        states = zip(*(ops.split(part, self._units, axis=-1) for part in state))
        logits, states, attention = zip(
            *(
                decoder.step(words, State(*own), each)
                for decoder, own, each in zip(self.decoders, states, memory, strict=True)
            )
        )
        probabilities = sum(ops.softmax(each, axis=-1) for each in logits) / len(logits)
        return ops.log(probabilities + 1e-30), self._join(states), sum(attention) / len(attention)

    @staticmethod
    def _join(states):
        return State(*(ops.concatenate(parts, axis=-1) for parts in zip(*states)))


def load_captioner(folders, encoder_weights=None):
    """Load one model, or several models as an ensemble.

    Args:
        folders: a list of paths of model folders.
        encoder_weights: "imagenet", "random", or the path of a file with the encoder's weights. None: the weights that
            the model folder names.

    Returns:
        A Captioner. With several models, captions have no confidence.

    Raises:
        InputError: a folder holds no model or is damaged, the weights of an encoder differ from those of the training,
            or the models differ in vocabulary, image size or grid of regions.
    """
    check_together(folders)
    captioners = [Captioner.from_folder(folder, encoder_weights) for folder in folders]
    first = captioners[0]
    if len(captioners) == 1:
        return first
    encoder = EnsembleEncoder([each.encoder for each in captioners])
    for folder, each in zip(folders, captioners):
        if encoder.rows % each.encoder.rows or encoder.columns % each.encoder.columns:
            raise InputError(
                f"{folder}: its grid of {each.encoder.rows} × {each.encoder.columns} regions does not fit into one of "
                f"{encoder.rows} × {encoder.columns}; choose other models"
            )
    decoder = EnsembleDecoder([each.decoder for each in captioners], [each.encoder.channels for each in captioners])
    max_words = max(each.max_words for each in captioners)
    consensus = None
    if any(each.consensus for each in captioners):
        consensus = JointConsensus(
            [each.consensus for each in captioners], [each.encoder.channels for each in captioners]
        )
    return Captioner(encoder, first.tokenizer, decoder, max_words, first.dataset, {}, consensus)
