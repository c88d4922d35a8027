"""Training on the score itself: captions are drawn, and those that score above their fellows made likelier."""

import keras
import tensorflow as tf
from keras import ops

from utils.end_to_end import EndToEnd
from utils.losses import logits_of
from utils.search import never_written, sample
from utils.tokenizer import PAD, START


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

    def train_step(self, data):
        """Draw, score, and follow the gradient of the expected reward."""
        (inputs, _), targets = data
        with tf.GradientTape() as tape:
            regions = self.regions(inputs)
            with tape.stop_recording():
                words = sample(self.decoder, regions, self.samples, self.max_words, self.seed_generator).words
                rewards = tf.numpy_function(self.reward, [targets, words], "float32", stateful=False)
                rewards = tf.ensure_shape(rewards, words.shape[:2])
                others = (ops.sum(rewards, axis=1, keepdims=True) - rewards) / (self.samples - 1)
            loss = policy_loss(self.decoder, regions, words, rewards - others)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        # The last batch is filled up with photos without references.
        real = ops.cast(ops.any(targets != PAD, axis=(1, 2)), "float32")
        self.reward_tracker.update_state(-ops.sum(ops.mean(rewards, axis=1) * real) / ops.sum(real))
        return {"loss": self.reward_tracker.result()}


def policy_loss(decoder, regions, words, advantage):
    """Minus the mean, over all words, of log-probability times advantage.

    Args:
        decoder: an AttentionDecoder.
        regions: (batch, regions, channels).
        words: drawn captions, int (batch, samples, length), filled with PAD.
        advantage: (batch, samples).
    """
    starts = ops.full((*words.shape[:2], 1), START, dtype=words.dtype)
    logits = decoder((regions, ops.concatenate([starts, words[:, :, :-1]], axis=2)), training=True)
    logits = ops.where(never_written(logits.shape[-1]), -1e9, logits)
    log_probability = logits_of(words, logits) - ops.logsumexp(logits, axis=-1)
    real = ops.cast(words != PAD, "float32")
    return -ops.sum(real * log_probability * advantage[..., None]) / ops.maximum(ops.sum(real), 1.0)
