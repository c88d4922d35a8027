"""Make the optimizer: AdamW with warm-up, learning-rate decay and a lower learning rate for the encoder."""

import keras

from utils.runtime import keras_internals

# At the end of a stage the averaged weights hold at most exp(-2) of the initial weights.
_FORGETTING = 2


@keras.saving.register_keras_serializable(package="captioning")
class PacedAdamW(keras.optimizers.AdamW):
    """Optimize with AdamW. The variables named with `slow_down` have a lower learning rate and no weight decay.

    A pretrained encoder needs smaller steps than the decoder that is trained with it. The constructor takes the
    arguments of `keras.optimizers.AdamW`, the method of Loshchilov and Hutter, "Decoupled weight decay regularization",
    2019.
    """

    def slow_down(self, variables, pace):
        """Choose the variables that get a lower learning rate and no weight decay. Call this method before `build`.

        Args:
            variables: a list of Keras variables.
            pace: learning rate of these variables as a fraction of the optimizer's learning rate.
        """
        # Store keys: Keras would treat stored variables as variables of the optimizer.
        self._slow, self._pace = tuple(keras_internals.variable_key(self, each) for each in variables), pace
        if variables:
            self.exclude_from_weight_decay(var_list=variables)

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable. Keras calls this method for each variable. Chosen variables get the lower learning rate.

        Args:
            gradient: gradient of the variable, a tensor.
            variable: the variable.
            learning_rate: learning rate of the variables that were not chosen.
        """
        # Compare indices, as Keras does: `variable` is the backend's variable and not the Keras variable.
        slow = keras_internals.indices_of(self, self._slow)
        pace = self._pace if keras_internals.index_of(self, variable) in slow else 1.0
        super().update_step(gradient, variable, learning_rate * pace)


def make_optimizer(recipe, learning_rate, steps, encoder_variables=(), pace=1.0):
    """Make the optimizer for a stage of training. The optimizer also averages weights (Polyak and Juditsky, 1992).

    The learning rate rises during the warm-up and then falls to zero along a cosine.

    Args:
        recipe: a Recipe, the settings of the run, such as weight decay.
        learning_rate: peak learning rate, at the end of the warm-up.
        steps: number of training steps of the stage.
        encoder_variables: Keras variables of the encoder; empty if the encoder is not trained.
        pace: learning rate of the encoder as a fraction of the decoder's.

    Returns:
        A PacedAdamW, which trains the encoder with a lower learning rate.
    """
    warmup = min(recipe.warmup_steps, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
    )
    # Short stages average over fewer steps. Otherwise their averaged weights would be mostly the initial weights.
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
