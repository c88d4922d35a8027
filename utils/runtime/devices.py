"""The choice of training devices: one device, several GPUs, or several machines."""

from utils.runtime import backend
from utils.runtime.one_device import OneDevice


def open_distribution(kind, say):
    """Connect the devices for training. Call it before anything is computed.

    Args:
        kind: None for one device; "mirrored" or "multiworker" as for `open_replicated`.
        say: a function that shows lines to the user.

    Returns:
        A OneDevice, or a subclass of it for several devices.

    Raises:
        InputError: this worker cannot be started, or Keras's backend is not TensorFlow.
    """
    if kind is None:
        return OneDevice()
    backend.require_tensorflow("--distribute")
    from utils.runtime.replicas import open_replicated

    return open_replicated(kind, say)
