"""Training on one device; what several of them add is in `utils/replicated.py`."""

from contextlib import nullcontext

from utils import backend


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
    from utils.replicated import open_replicated

    return open_replicated(kind, say)
