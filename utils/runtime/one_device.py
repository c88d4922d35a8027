"""Training on one device; what several of them add is in `utils/runtime/replicas.py`."""

from contextlib import nullcontext


class OneDevice:
    """Training where it is by default; what the Trainer asks of any distribution.

    Attributes:
        chief: whether this process validates and writes the files.
    """

    chief = True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def scope(self):
        """Where the trained model and its optimizer are made."""
        return nullcontext()

    def attach(self, model, loss):
        """Let the compiled `model` make its steps on all devices."""

    def dataset(self, batches, epoch, step):
        """As `Batches.dataset`, of what this process trains on."""
        return batches.dataset(epoch, step)

    def begin(self, variables):
        """Before a fit: every device begins with the chief's values."""

    def from_chief(self, value):
        """A JSON object that the chief knows, on every worker."""
        return value

    def check_same(self, **facts):
        """Make sure that all workers do the same work; `facts` are JSON objects."""
