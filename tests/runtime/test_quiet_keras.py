import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_program_that_imports_the_captioner_gets_no_messages_of_tensorflow():
    program = (
        "from utils.captioner import Captioner; from utils.data.photo_files import sample_photo;"
        "print(Captioner.from_folder('models/flickr8k-mobilenet').caption(sample_photo()).text)"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", program], env=clean, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("A ")
