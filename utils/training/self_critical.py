"""Train with rewards: a sampled caption becomes likelier if it scores higher than other samples for the same photo."""

import keras
from keras import ops

from utils.data.tokenizer import PAD, START
from utils.model.search import never_written, sample
from utils.runtime import backend
from utils.training.encoder_decoder import EndToEnd
from utils.training.losses import logits_of


class SelfCritical(EndToEnd):
    """Extend EndToEnd, the model of encoder and decoder, by training that maximises a reward.

    Captions are sampled and get rewards. The baseline of a caption is the mean reward of the photo's other samples.
    The method is that of Rennie et al., "Self-critical sequence training for image captioning", 2017. The baseline is
    that of Luo, "A better variant of self-critical sequence training", 2020.

    Args:
        decoder: an AttentionDecoder.
        encoder: an Encoder if the inputs are pixels; None if the inputs are regions.
        reward: function of two NumPy arrays: captions by people, int (batch, references, length), and sampled captions,
            int (batch, samples, length). It returns the rewards, float32 (batch, samples).
        samples: number of sampled captions per photo, 2 or more.
        max_words: largest number of words in a sampled caption.
        seed: random seed of the sampling.
    """

    def __init__(self, decoder, encoder, reward, samples, max_words, seed):
        super().__init__(decoder, encoder)
        self.reward, self.samples, self.max_words = reward, samples, max_words
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.reward_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        """Return the list of Keras metrics: only the reported loss, which is minus the mean reward."""
        return [self.reward_tracker]

    def call(self, inputs, training=False):
        """In training, sample captions and compute their log-probabilities. Otherwise, compute word logits.

        Args:
            inputs: (pixels or regions, input words). The words are word numbers, int (batch, captions, length). In
                training, they are not used.
            training: True to sample captions.

        Returns:
            In training: (words, log-probabilities). The words are word numbers, int (batch, samples, length), padded
            with PAD. The log-probabilities are float32 of the same shape; gradients flow through them. Otherwise: word
            logits, float32 (batch, captions, length, vocabulary).
        """
        if not training:
            return super().call(inputs)
        regions = self.regions(inputs[0])
        words = sample(self.decoder, regions, self.samples, self.max_words, self.seed_generator).words
        return words, log_probabilities(self.decoder, regions, words)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Compute the loss of a batch. Its gradient estimates the gradient of minus the expected reward.

        Args:
            x: not used; Keras passes the inputs of the model.
            y: word numbers of captions by people, int (batch, references, length), padded with PAD.
            y_pred: (words, log-probabilities) of sampled captions, int and float32 (batch, samples, length).
            sample_weight, training: not used; Keras passes them.

        Returns:
            The loss, a scalar.
        """
        words, words_log_probabilities = y_pred
        rewards = backend.on_host(self.reward, [y, words], words.shape[:2], "float32")
        others = (ops.sum(rewards, axis=1, keepdims=True) - rewards) / (self.samples - 1)
        # The last batch is padded with photos without references.
        real = ops.cast(ops.any(y != PAD, axis=(1, 2)), "float32")
        self.reward_tracker.update_state(-ops.sum(ops.mean(rewards, axis=1) * real) / ops.sum(real))
        # `self.losses` are the losses that the decoder adds, such as the entropy of its attention.
        return policy_loss(words, words_log_probabilities, rewards - others) + sum(self.losses)


def log_probabilities(decoder, regions, words):
    """Compute the log-probability of every word of sampled captions, with dropout.

    Args:
        decoder: an AttentionDecoder.
        regions: regions of the photos, float (batch, regions, channels).
        words: word numbers of sampled captions, int (batch, samples, length), padded with PAD.

    Returns:
        Float32 (batch, samples, length). The values at padding have no meaning.
    """
    starts = ops.full((*words.shape[:2], 1), START, dtype=words.dtype)
    logits = decoder((regions, ops.concatenate([starts, words[:, :, :-1]], axis=2)), training=True)
    logits = ops.where(never_written(logits.shape[-1]), -1e9, logits)
    return logits_of(words, logits) - ops.logsumexp(logits, axis=-1)


def policy_loss(words, words_log_probabilities, advantage):
    """Compute the loss of sampled captions: minus the mean, over all words, of log-probability × advantage.

    Args:
        words: word numbers of sampled captions, int (batch, samples, length), padded with PAD.
        words_log_probabilities: log-probability of each word, float (batch, samples, length).
        advantage: reward minus baseline of each caption, float (batch, samples).

    Returns:
        A scalar.
    """
    real = ops.cast(words != PAD, "float32")
    return -ops.sum(real * words_log_probabilities * advantage[..., None]) / ops.maximum(ops.sum(real), 1.0)
