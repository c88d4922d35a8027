"""Choose and connect the devices for training: one device, several GPUs, or several machines."""

from contextlib import nullcontext

from utils.runtime import backend


class Devices:
    """Train on Keras's default device.

    The subclass `Replicated` in utils/runtime/replicas.py trains on several devices. "Worker" means
    one of the processes that train together. The first worker is the chief.

    Attributes:
        chief: True if this process is the chief, which validates and writes the files.
    """

    chief = True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def scope(self):
        """Return a context manager in which the trained model and its optimizer must be created."""
        return nullcontext()

    def attach(self, model, loss):
        """Make `model.fit` use all devices. Here, there is only one, so nothing changes.

        Args:
            model: a compiled Keras model.
            loss: a MeanLoss (see utils/training/losses.py).
        """

    def dataset(self, batches, epoch, step):
        """Return the training data of this process, as an object that `Model.fit` accepts.

        Args:
            batches: a Batches.
            epoch: the number of the epoch, from 0.
            step: the number of the first step in this epoch, from 0.
        """
        return batches.dataset(epoch, step)

    def begin(self, variables):
        """Copy the chief's values of Keras variables to all devices. Call this before `Model.fit`."""

    def from_chief(self, value):
        """Return the `value` that the chief passes. All workers must call this.

        Args:
            value: any value that can be written as JSON. Only the chief's value is used.
        """
        return value

    def check_same(self, **facts):
        """Check that all workers pass the same values. All workers must call this.

        Args:
            facts: values that can be written as JSON. Their names appear in the error.

        Raises:
            InputError: a value differs from the chief's.
        """


def open_distribution(kind, say):
    """Connect the devices for training. Call this before anything is computed.

    Args:
        kind: None for one device; "mirrored" or "multiworker" as for `open_replicated`.
        say: a function that shows lines of text to the user.

    Returns:
        A Devices; for several devices, a Replicated.

    Raises:
        InputError: this worker cannot be started, or Keras's backend is not TensorFlow.
    """
    if kind is None:
        return Devices()
    backend.require_tensorflow("--distribute")
    from utils.runtime.replicas import open_replicated

    return open_replicated(kind, say)
