"""Choose the devices that train: one device, several GPUs, or several machines."""

from utils.runtime import backend
from utils.runtime.devices import Devices


def open_distribution(kind, say):
    """Connect the devices for training. Call this before anything is computed.

    Args:
        kind: None for one device; "mirrored" for all GPUs of this machine; "multiworker" for the machines in the
            environment variable TF_CONFIG.
        say: a function that shows lines of text to the user.

    Returns:
        A Devices, with which training runs; for several devices, its subclass Replicated.

    Raises:
        InputError: this machine cannot be connected with the others, or Keras's backend is not TensorFlow.
    """
    if kind is None:
        return Devices()
    backend.require_tensorflow("--distribute")
    from utils.runtime.replicas import open_replicated

    return open_replicated(kind, say)
