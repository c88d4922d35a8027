"""Several models that write captions together: an ensemble, to be used as one Captioner."""

import numpy as np
from keras import ops

from utils.captioner import Captioner
from utils.errors import InputError
from utils.model.consensus import JointConsensus
from utils.model.decoder import State
from utils.model.model_folder import check_together


class EnsembleEncoder:
    """Encoders side by side: at each region the channels of all of them. Each has a cache of its own.

    Args:
        encoders: Encoders of the same image size and grid.
    """

    def __init__(self, encoders):
        self.encoders, first = encoders, encoders[0]
        self.image_size, self.rows, self.columns = first.image_size, first.rows, first.columns

    def encode(self, pixels):
        """As `Encoder.encode`: float32 (photos, regions, channels)."""
        return np.concatenate([encoder.encode(pixels) for encoder in self.encoders], axis=-1)


class EnsembleDecoder:
    """Decoders that agree on every word by the mean of their probabilities; for search, not for training.

    Args:
        decoders: AttentionDecoders of one vocabulary.
        channels: of the regions that each one takes, in the order of EnsembleEncoder.
    """

    def __init__(self, decoders, channels):
        self.decoders = decoders
        self.vocabulary_size = decoders[0].vocabulary_size
        self.variables = [variable for decoder in decoders for variable in decoder.variables]
        self._channels = np.cumsum(channels)[:-1].tolist()
        self._units = np.cumsum([decoder.units for decoder in decoders])[:-1].tolist()

    def remember(self, regions):
        """The memory of each decoder."""
        parts = ops.split(regions, self._channels, axis=-1)
        return [decoder.remember(part) for decoder, part in zip(self.decoders, parts)]

    def initial_state(self, memory, captions):
        """The decoders' states, unit after unit."""
        return self._join(
            [decoder.initial_state(each, captions) for decoder, each in zip(self.decoders, memory, strict=True)]
        )

    def step(self, words, state, memory):
        """As `AttentionDecoder.step`; the attention is the mean of the decoders'."""
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
    """The Captioner of a model folder, or of several that write together.

    Args:
        folders: model folders.
        encoder_weights: as for `Captioner.from_folder`.

    Raises:
        InputError: as for `Captioner.from_folder`, or models that cannot write together.
    """
    check_together(folders)
    captioners = [Captioner.from_folder(folder, encoder_weights) for folder in folders]
    first = captioners[0]
    if len(captioners) == 1:
        return first
    for folder, each in zip(folders[1:], captioners[1:]):
        if (each.encoder.rows, each.encoder.columns) != (first.encoder.rows, first.encoder.columns):
            raise InputError(f"{folder}: sees other regions than {folders[0]}; models of one grid write together")
    encoder = EnsembleEncoder([each.encoder for each in captioners])
    decoder = EnsembleDecoder([each.decoder for each in captioners], [each.encoder.channels for each in captioners])
    max_words = max(each.max_words for each in captioners)
    consensus = None
    if any(each.consensus for each in captioners):
        consensus = JointConsensus(
            [each.consensus for each in captioners], [each.encoder.channels for each in captioners]
        )
    return Captioner(encoder, first.tokenizer, decoder, max_words, first.dataset, {}, consensus)
