"""Define the class `Devices`, with which training runs on one device. Its subclass `Replicated` uses several."""

from contextlib import nullcontext


class Devices:
    """Train on Keras's default device.

    The subclass `Replicated` trains on several devices, with one process per
    machine. Each of these processes is a worker. The first worker is the chief.

    Attributes:
        chief: True if this process is the chief, which computes the validation scores and writes the files.
    """

    chief = True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def scope(self):
        """Return a context manager in which the model and its optimizer must be created."""
        return nullcontext()

    def attach(self, model, loss):
        """Make `model.fit` use all devices. This class has only one device, so nothing changes.

        Args:
            model: a compiled Keras model.
            loss: the model's loss, a MeanLoss.
        """

    def dataset(self, batches, epoch, step):
        """Return the training data of this process, as an object that `Model.fit` accepts.

        Args:
            batches: a Batches, which loads the training batches.
            epoch: the number of the epoch, from 0.
            step: the number of the first step, from 0. The earlier steps of the epoch are left out.
        """
        return batches.dataset(epoch, step)

    def begin(self, variables):
        """Give the same values to the variables of all devices. This class has only one, so nothing is done.

        Args:
            variables: a list of all Keras variables of the training.
        """

    def from_chief(self, value):
        """Return the `value` that the chief, the first worker, passes. All workers must call this.

        Args:
            value: any value that can be written as JSON. Only the chief's value is used.
        """
        return value

    def check_same(self, **facts):
        """Check that all workers pass the same values. This class has only one worker, so nothing is checked.

        Args:
            facts: named values that can be written as JSON. Their names appear in the error.

        Raises:
            InputError: a value differs from that of the first worker (only with several workers).
        """
