"""Run `prepare.py` by its former name, `python -m utils.prepare`. The next release will not have this file."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).parents[1] / "prepare.py"), run_name="__main__")
