"""Import this module before Keras: it imports Keras and its backend without TensorFlow's messages.

TensorFlow prints messages before its logging can be configured. So output to standard error is discarded during the
import. Keras would also import matplotlib's pyplot. This takes half a second and is not needed, so it is prevented.

Nothing happens if the program has already imported Keras or TensorFlow.
"""

import os
import sys
from contextlib import suppress


def _import():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    unwanted = "matplotlib.pyplot" not in sys.modules
    saved = None
    with suppress(OSError, ValueError, AttributeError):  # standard error may be closed
        sys.stderr.flush()
        saved = os.dup(2)
    try:
        if saved is not None:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        if unwanted:
            sys.modules["matplotlib.pyplot"] = None  # makes the import of pyplot fail, which Keras tolerates
        import keras

        if keras.config.backend() == "tensorflow":
            import tensorflow
    finally:
        if unwanted:
            sys.modules.pop("matplotlib.pyplot", None)
        if saved is not None:
            os.dup2(saved, 2)
            os.close(saved)
    if keras.config.backend() == "tensorflow":
        # TensorFlow warns if a function is compiled for several sizes or models. This is intended here.
        tensorflow.get_logger().setLevel("ERROR")


if not {"keras", "tensorflow"} & sys.modules.keys():
    _import()
