"""How weights are moved: AdamW with warm-up, decay, and a slower pace for the encoder."""

import keras

from utils.runtime import keras_internals

# The averaged weights of a whole stage hold at most exp(-2) of those that it began with.
_FORGETTING = 2


@keras.saving.register_keras_serializable(package="captioning")
class PacedAdamW(keras.optimizers.AdamW):
    """AdamW in which chosen variables move at a fraction of the learning rate and without weight decay.

    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019. A
    pretrained network needs smaller steps than a decoder beside it.
    """

    def slow_down(self, variables, pace):
        """Let `variables` move at `pace` times the learning rate; to be called before `build`."""
        # Not the variables themselves, which Keras would take for the optimizer's own.
        self._slow, self._pace = tuple(keras_internals.variable_key(self, each) for each in variables), pace
        if variables:
            self.exclude_from_weight_decay(var_list=variables)

    def update_step(self, gradient, variable, learning_rate):
        """One variable's step."""
        # By index, as Keras's own update: what comes here is the backend's variable, not Keras's.
        slow = keras_internals.indices_of(self, self._slow)
        pace = self._pace if keras_internals.index_of(self, variable) in slow else 1.0
        super().update_step(gradient, variable, learning_rate * pace)


def make_optimizer(recipe, learning_rate, steps, encoder_variables=(), pace=1.0):
    """The optimizer of a stage, whose averaged weights (Polyak and Juditsky, 1992) are kept beside the weights.

    Args:
        recipe: a Recipe.
        learning_rate: at its peak, after which it falls to zero along a cosine.
        steps: of the whole stage.
        encoder_variables: those that move at `pace` times the learning rate.
    """
    warmup = min(recipe.warmup_steps, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
    )
    # Otherwise, after few steps, the averaged weights would still be those that the stage began with.
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
