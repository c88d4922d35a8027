"""Small training runs on two devices: two logical devices of this process, or one each of two processes."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.training import training_worker
from utils import console
from utils.runtime.devices import open_distribution

# Without dropout, so that two devices can be compared with one. Gradients are clipped in nearly every step.
SETTINGS = {"dropout": 0.0, "clip_norm": 0.5}


def weights(trainer):
    """The weights and averaged weights that training has changed, by name."""
    return {
        f"{kind} {number} {variable.path}": variable.numpy()
        for kind, model in (("model", trainer.model), ("averaged", trainer.averaged))
        for number, variable in enumerate(model.weights)
    }


def main(kind, folder, stages, moment=""):
    """Train one stage after the other, each in its own folder, or resume.

    Args:
        kind: "mirrored" or "multiworker"; TF_CONFIG names the workers.
        folder: the folder of all stages. The chief writes its weights to STAGE/weights.npz.
        stages: as for `make_trainer`.
        moment: "step:N" to be killed after step N.
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
