"""Train small models on two devices: two logical devices of this process, or one device of each of two processes."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.training import training_worker
from utils import console
from utils.runtime.distribution import open_distribution

# There is no dropout, so that two devices can be compared with one. Gradients are clipped in nearly every step.
SETTINGS = {"dropout": 0.0, "clip_norm": 0.5}


def weights(trainer):
    """Return the model's weights and averaged weights, as a dict from a name to an array."""
    return {
        f"{kind} {number} {variable.path}": variable.numpy()
        for kind, model in (("model", trainer.model), ("averaged", trainer.averaged))
        for number, variable in enumerate(model.weights)
    }


def main(kind, folder, stages, moment=""):
    """Run training stages one after the other, each in its own subfolder. A stage with a checkpoint is resumed.

    Args:
        kind: "mirrored", or "multiworker" with the workers named in TF_CONFIG.
        folder: the folder of all stages. The chief writes the weights to STAGE/weights.npz.
        stages: a list of names of stages, as for `make_trainer` in tests/training/training_worker.py.
        moment: "step:N" if this process must kill itself after step N; "" if not.
    """
    if kind == "mirrored":
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    Path(folder).mkdir(exist_ok=True)
    with console.ending_at_once(), open_distribution(kind, console.say) as distribution:
        for stage in stages:
            trainer = training_worker.make_trainer(Path(folder) / stage, stage, distribution, **SETTINGS)
            if trainer.checkpoint.path.exists():
                trainer.resume()
            training_worker.die_at(moment, folder)
            trainer.fit()
            if distribution.chief:
                np.savez(Path(folder) / stage / "weights.npz", **weights(trainer))
    return 0
