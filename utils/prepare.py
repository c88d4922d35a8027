"""The former way to call `prepare.py`: `python -m utils.prepare`. It goes with the next release."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).parents[1] / "prepare.py"), run_name="__main__")
