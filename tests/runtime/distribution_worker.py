"""Small training runs on two devices: logical ones of this process, or this process's and another's."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.training import training_worker
from utils import console
from utils.runtime.devices import open_distribution

# Without dropout, so that two devices may be held against one; clipped in nearly every step.
SETTINGS = {"dropout": 0.0, "clip_norm": 0.5}


def weights(trainer):
    """All that training has changed: weights and averaged weights by name."""
    return {
        f"{kind} {number} {variable.path}": variable.numpy()
        for kind, model in (("model", trainer.model), ("averaged", trainer.averaged))
        for number, variable in enumerate(model.weights)
    }


def main(kind, folder, stages, moment=""):
    """Train one stage after the other, or go on training, each in a folder of its own.

    Args:
        kind: "mirrored" or "multiworker"; TF_CONFIG names the workers.
        folder: what the chief has trained is left in its STAGE/weights.npz.
        stages: as for `make_trainer`.
        moment: "step:N" to die after step N.
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
