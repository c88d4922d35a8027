"""The devices that train: one, several GPUs, several machines."""

from utils.runtime import backend
from utils.runtime.one_device import OneDevice


def open_distribution(kind, say):
    """Connect the devices that train; before anything is computed.

    Args:
        kind: None for one device, "mirrored" or "multiworker" as for `open_replicated`.
        say: called with lines for a person.

    Raises:
        InputError: this worker cannot be started, or Keras has another backend than TensorFlow.
    """
    if kind is None:
        return OneDevice()
    backend.require_tensorflow("--distribute")
    from utils.runtime.replicas import open_replicated

    return open_replicated(kind, say)
