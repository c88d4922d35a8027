"""Checkpoints: the complete state of a training run in one file."""

import contextlib
import json
import zipfile
from pathlib import Path

import numpy as np
from keras import ops

from utils.errors import InputError
from utils.files import exists, replacing


class Checkpoint:
    """Everything that the rest of a run depends on, in one file that is replaced by a rename.

    Args:
        path: file to write, an .npz.
        variables: Keras variables to save and restore, in the same order each time.
    """

    def __init__(self, path, variables):
        self.path, self._variables = Path(path), list(variables)

    def save(self, state):
        """Write the variables and `state`, a JSON object, which the file holds under the name `progress`."""
        arrays = {f"variable_{n}": np.asarray(ops.convert_to_numpy(v)) for n, v in enumerate(self._variables)}
        with replacing(self.path, "make room and --resume") as temporary, open(temporary, "wb") as file:
            np.savez(file, progress=np.array(json.dumps(state)), **arrays)

    def load(self):
        """Restore the variables; returns the saved `state`."""
        with _opened(self.path) as file:
            values = [file[f"variable_{n}"] for n in range(len(self._variables))]
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)
            return json.loads(str(file["progress"]))


def read_state(path):
    """The `state` that a checkpoint file holds; None if there is no such file."""
    if not exists(path):
        return None
    with _opened(path) as file:
        return json.loads(str(file["progress"]))


@contextlib.contextmanager
def _opened(path):
    """An open checkpoint; any problem with the file becomes an InputError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError(f"{path}: does not fit this run ({reason}); train again with --overwrite") from None
