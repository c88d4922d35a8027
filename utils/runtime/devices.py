"""Train on one device. utils/runtime/replicas.py does it on several."""

from contextlib import nullcontext


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
        """Check that all workers pass the same values. Here there is one worker, so nothing is checked.

        Args:
            facts: named values that can be written as JSON. Their names appear in the error.

        Raises:
            InputError: a value differs from that of the first worker (only with several workers).
        """
