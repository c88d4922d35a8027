"""Prepare a notebook: install missing packages, import Keras quietly, show errors in one line."""

import importlib.util
import subprocess
import sys

# Packages that Colab may lack. Installed packages are not changed.
_NEEDED = ("tensorflow", "nltk", "pycocoevalcap", "h5py")


def start():
    """Prepare a notebook's session and print the versions and devices."""
    missing = [name for name in _NEEDED if not importlib.util.find_spec(name)]
    if missing:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing], check=True)
    from utils import console

    console.import_keras()
    from utils.notebook import describe_runtime, tell_errors_in_a_line

    tell_errors_in_a_line()
    print(describe_runtime())


if __name__ == "__main__":
    start()
