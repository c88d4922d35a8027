"""Training on the score itself: captions are drawn, and those that score above their fellows made likelier."""

import keras
from keras import ops

from utils.data.tokenizer import PAD, START
from utils.model.search import never_written, sample
from utils.runtime import backend
from utils.training.encoder_decoder import EndToEnd
from utils.training.losses import logits_of


class SelfCritical(EndToEnd):
    """An EndToEnd model whose training step maximises a reward.

    Rennie et al., "Self-critical sequence training for image captioning", 2017,
    with the mean reward of a photo's other captions as baseline: Luo, "A better
    variant of self-critical sequence training", 2020.

    Args:
        decoder, encoder: as for EndToEnd.
        reward: called with targets (batch, references, length) and captions
            (batch, samples, length), as arrays; gives float32 (batch, samples).
        samples: captions drawn for each photo, 2 or more.
        max_words: words of a drawn caption at most.
        seed: of the drawing.
    """

    def __init__(self, decoder, encoder, reward, samples, max_words, seed):
        super().__init__(decoder, encoder)
        self.reward, self.samples, self.max_words = reward, samples, max_words
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.reward_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        """The reported loss is minus the mean reward."""
        return [self.reward_tracker]

    def call(self, inputs, training=False):
        """In training, captions drawn for each photo and their words' log-probabilities; otherwise as EndToEnd.

        Returns:
            Words, int (batch, samples, length), filled with PAD, and float32
            log-probabilities of the same shape, through which gradients flow.
        """
        if not training:
            return super().call(inputs)
        regions = self.regions(inputs[0])
        words = sample(self.decoder, regions, self.samples, self.max_words, self.seed_generator).words
        return words, log_probabilities(self.decoder, regions, words)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The gradient of the expected reward is that of this loss; `y` are targets (batch, references, length)."""
        words, words_log_probabilities = y_pred
        rewards = backend.on_host(self.reward, [y, words], words.shape[:2], "float32")
        others = (ops.sum(rewards, axis=1, keepdims=True) - rewards) / (self.samples - 1)
        # The last batch is filled up with photos without references.
        real = ops.cast(ops.any(y != PAD, axis=(1, 2)), "float32")
        self.reward_tracker.update_state(-ops.sum(ops.mean(rewards, axis=1) * real) / ops.sum(real))
        # Those that the decoder adds itself, as for the entropy of its attention.
        return policy_loss(words, words_log_probabilities, rewards - others) + sum(self.losses)


def log_probabilities(decoder, regions, words):
    """Of each word of drawn captions, float32 (batch, samples, length), with dropout.

    Args:
        decoder: an AttentionDecoder.
        regions: (batch, regions, channels).
        words: drawn captions, int (batch, samples, length), filled with PAD.
    """
    starts = ops.full((*words.shape[:2], 1), START, dtype=words.dtype)
    logits = decoder((regions, ops.concatenate([starts, words[:, :, :-1]], axis=2)), training=True)
    logits = ops.where(never_written(logits.shape[-1]), -1e9, logits)
    return logits_of(words, logits) - ops.logsumexp(logits, axis=-1)


def policy_loss(words, words_log_probabilities, advantage):
    """Minus the mean, over all words, of log-probability times advantage.

    Args:
        words: drawn captions, int (batch, samples, length), filled with PAD.
        words_log_probabilities: of `log_probabilities`.
        advantage: (batch, samples).
    """
    real = ops.cast(words != PAD, "float32")
    return -ops.sum(real * words_log_probabilities * advantage[..., None]) / ops.maximum(ops.sum(real), 1.0)
