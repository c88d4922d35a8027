"""Training on one device. `utils/runtime/replicas.py` extends it to several devices."""

from contextlib import nullcontext


class OneDevice:
    """Training on Keras's default device. Subclasses train on several devices.

    Attributes:
        chief: True if this process validates and writes the files.
    """

    chief = True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def scope(self):
        """A context manager in which the trained model and its optimizer must be created."""
        return nullcontext()

    def attach(self, model, loss):
        """Make the compiled `model` train on all devices; one device needs no change."""

    def dataset(self, batches, epoch, step):
        """The training data of this process, as `Batches.dataset` returns it.

        Args:
            batches: a Batches.
            epoch: the number of the epoch, from 0.
            step: the number of the first step, from 0.
        """
        return batches.dataset(epoch, step)

    def begin(self, variables):
        """Give every device the chief's values of the variables; call it before `fit`."""

    def from_chief(self, value):
        """The chief's `value`, on every worker. The value must be representable as JSON."""
        return value

    def check_same(self, **facts):
        """Raise InputError unless all workers have the same `facts`, values by name, representable as JSON."""
