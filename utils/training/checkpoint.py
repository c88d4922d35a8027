"""Save and load checkpoints: the complete state of a training run in one file."""

import contextlib
import json
import zipfile
from pathlib import Path

import numpy as np
from keras import ops

from utils.errors import InputError
from utils.files import exists, replacing


class Checkpoint:
    """Save and load the state of a training run in one file.

    `save` writes a temporary file and renames it. So an interrupted `save` leaves the earlier checkpoint unchanged.

    Args:
        path: the .npz file.
        variables: Keras variables to save and restore. Their order must be the same in the run that loads the file.
    """

    def __init__(self, path, variables):
        self.path, self._variables = Path(path), list(variables)

    def save(self, state):
        """Write the variables and the progress of the run to the file.

        `state` is the progress, such as epoch, step and scores: a dict that can be written as JSON.
        """
        arrays = {f"variable_{n}": np.asarray(ops.convert_to_numpy(v)) for n, v in enumerate(self._variables)}
        with replacing(self.path, "make room and --resume") as temporary, open(temporary, "wb") as file:
            np.savez(file, progress=np.array(json.dumps(state)), **arrays)

    def load(self):
        """Assign the saved values to the variables, and return the saved progress, a dict with epoch, step and scores.

        Raises:
            InputError: the file cannot be read, or its variables differ from those of this run.
        """
        with _opened(self.path) as file:
            values = [file[f"variable_{n}"] for n in range(len(self._variables))]
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)
            return json.loads(str(file["progress"]))


def read_state(path):
    """Return the progress that is saved in a checkpoint file, a dict; None if there is no such file.

    Args:
        path: the .npz file that `Checkpoint.save` has written, a Path.

    Raises:
        InputError: the file cannot be read.
    """
    if not exists(path):
        return None
    with _opened(path) as file:
        return json.loads(str(file["progress"]))


@contextlib.contextmanager
def _opened(path):
    """Open a checkpoint, the .npz file `path`, in a `with` statement. Any problem with the file raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError(f"{path}: does not fit this run ({reason}); train again with --overwrite") from None
