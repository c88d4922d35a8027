import subprocess
import sys

import numpy as np
import pytest

from utils.data.images import load_pixels
from utils.errors import InputError
from utils.outputs.export import FORMATS, check_export, export, load_exported


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.slow
def test_what_is_exported_writes_the_same_captions(tiny_captioner, save_photo, tmp_path, form):
    for package in FORMATS[form][1]:
        pytest.importorskip(package)
    folder = tmp_path / "exported"
    paths = [save_photo(f"{seed}.png", size=(2 + seed, 3), seed=seed) for seed in range(12)]
    tiny_captioner.encoder = tiny_captioner.encoder.copy(mirror=True)
    regions = tiny_captioner.encoder.encode(np.stack([load_pixels(path, 32) for path in paths]))
    tiny_captioner.decoder.standardise(regions.mean((0, 1)), regions.std((0, 1)))
    exact = tiny_captioner.encoder
    # As VGG16's where that is faster; other runtimes don't know such convolutions.
    tiny_captioner.encoder = exact.copy(precision="bfloat16")
    export(tiny_captioner, form, folder)
    tiny_captioner.encoder = exact
    ours = [caption.words for caption in tiny_captioner.caption(paths, beam_size=1)]
    assert len(set(ours)) > 2
    words = load_exported(folder, form)(np.stack([load_pixels(path, 32) for path in paths]))
    assert [tuple(tiny_captioner.tokenizer.decode(numbers)) for numbers in words] == ours

    save_photo("exported/photo.jpg")
    example = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", example], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(tiny_captioner.caption([folder / "photo.jpg"], beam_size=1)[0].words)


def test_what_stands_in_the_way_is_told_first(tmp_path, monkeypatch):
    (tmp_path / "kept").touch()
    with pytest.raises(InputError, match="exists"):
        check_export("tf_saved_model", tmp_path, False)
    check_export("tf_saved_model", tmp_path, True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -r requirements-export\.txt"):
        check_export("onnx", tmp_path / "new", False)
