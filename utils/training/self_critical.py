"""Self-critical training: sampled captions become likelier if they score above the photo's other samples."""

import keras
from keras import ops

from utils.data.tokenizer import PAD, START
from utils.model.search import never_written, sample
from utils.runtime import backend
from utils.training.encoder_decoder import EndToEnd
from utils.training.losses import logits_of


class SelfCritical(EndToEnd):
    """An EndToEnd model whose training step maximises a reward.

    Rennie et al., "Self-critical sequence training for image captioning", 2017. The baseline is the mean reward of the
    photo's other samples: Luo, "A better variant of self-critical sequence training", 2020.

    Args:
        decoder, encoder: as for EndToEnd.
        reward: function of targets, int (batch, references, length), and captions, int (batch, samples, length), both
            NumPy arrays, that returns float32 (batch, samples).
        samples: number of sampled captions per photo, 2 or more.
        max_words: largest number of words in a sampled caption.
        seed: seed of the sampling.
    """

    def __init__(self, decoder, encoder, reward, samples, max_words, seed):
        super().__init__(decoder, encoder)
        self.reward, self.samples, self.max_words = reward, samples, max_words
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.reward_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        """The reported loss, which is minus the mean reward."""
        return [self.reward_tracker]

    def call(self, inputs, training=False):
        """In training, sampled captions and their log-probabilities; otherwise logits, as EndToEnd.

        Returns:
            In training: words, int (batch, samples, length), padded with PAD; and log-probabilities, float32 of the
            same shape, through which gradients flow.
        """
        if not training:
            return super().call(inputs)
        regions = self.regions(inputs[0])
        words = sample(self.decoder, regions, self.samples, self.max_words, self.seed_generator).words
        return words, log_probabilities(self.decoder, regions, words)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """A loss whose gradient is that of minus the expected reward.

        Args:
            y: targets, int (batch, references, length).
            y_pred: words and log-probabilities, from `call`.
        """
        words, words_log_probabilities = y_pred
        rewards = backend.on_host(self.reward, [y, words], words.shape[:2], "float32")
        others = (ops.sum(rewards, axis=1, keepdims=True) - rewards) / (self.samples - 1)
        # The last batch is padded with photos without references.
        real = ops.cast(ops.any(y != PAD, axis=(1, 2)), "float32")
        self.reward_tracker.update_state(-ops.sum(ops.mean(rewards, axis=1) * real) / ops.sum(real))
        # The decoder's own losses, such as the entropy of its attention.
        return policy_loss(words, words_log_probabilities, rewards - others) + sum(self.losses)


def log_probabilities(decoder, regions, words):
    """Log-probabilities of the words of sampled captions, with dropout: float32 (batch, samples, length).

    Args:
        decoder: an AttentionDecoder.
        regions: float (batch, regions, channels).
        words: sampled captions, int (batch, samples, length), padded with PAD.
    """
    starts = ops.full((*words.shape[:2], 1), START, dtype=words.dtype)
    logits = decoder((regions, ops.concatenate([starts, words[:, :, :-1]], axis=2)), training=True)
    logits = ops.where(never_written(logits.shape[-1]), -1e9, logits)
    return logits_of(words, logits) - ops.logsumexp(logits, axis=-1)


def policy_loss(words, words_log_probabilities, advantage):
    """Minus the mean, over all words, of log-probability times advantage: a scalar.

    Args:
        words: sampled captions, int (batch, samples, length), padded with PAD.
        words_log_probabilities: float (batch, samples, length), from `log_probabilities`.
        advantage: reward above the baseline, float (batch, samples).
    """
    real = ops.cast(words != PAD, "float32")
    return -ops.sum(real * words_log_probabilities * advantage[..., None]) / ops.maximum(ops.sum(real), 1.0)
