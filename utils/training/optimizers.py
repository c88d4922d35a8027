"""The optimizer: AdamW with warm-up, learning-rate decay and a slower encoder."""

import keras

from utils.runtime import keras_internals

# At the end of a stage the averaged weights hold at most exp(-2) of the initial weights.
_FORGETTING = 2


@keras.saving.register_keras_serializable(package="captioning")
class PacedAdamW(keras.optimizers.AdamW):
    """AdamW in which chosen variables get a fraction of the learning rate and no weight decay.

    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019. A pretrained network needs smaller steps than
    the decoder trained with it.
    """

    def slow_down(self, variables, pace):
        """Choose the slow variables; call this before `build`.

        Args:
            variables: Keras variables.
            pace: their learning rate as a fraction of the optimizer's.
        """
        # Keys, since Keras would treat stored variables as the optimizer's own.
        self._slow, self._pace = tuple(keras_internals.variable_key(self, each) for each in variables), pace
        if variables:
            self.exclude_from_weight_decay(var_list=variables)

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable."""
        # By index, as in Keras's own update: `variable` is the backend's variable, not Keras's.
        slow = keras_internals.indices_of(self, self._slow)
        pace = self._pace if keras_internals.index_of(self, variable) in slow else 1.0
        super().update_step(gradient, variable, learning_rate * pace)


def make_optimizer(recipe, learning_rate, steps, encoder_variables=(), pace=1.0):
    """The optimizer of a stage. It also keeps averaged weights (Polyak and Juditsky, 1992).

    Args:
        recipe: a Recipe.
        learning_rate: peak learning rate; it then falls to zero along a cosine.
        steps: number of steps in the stage.
        encoder_variables: variables of the encoder, which get `pace` times the learning rate.
        pace: encoder learning rate as a fraction of the decoder's.
    """
    warmup = min(recipe.warmup_steps, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
    )
    # A shorter average for short stages, which would otherwise end with mostly the initial weights.
    momentum = min(recipe.averaging, 1 - _FORGETTING / max(steps, _FORGETTING))
    optimizer = PacedAdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        use_ema=True,
        ema_momentum=momentum,
    )
    optimizer.slow_down(list(encoder_variables), pace)
    return optimizer
