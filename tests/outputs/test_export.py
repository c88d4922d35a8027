import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_captioner
from utils.data.images import load_pixels
from utils.data.tokenizer import join_words
from utils.errors import InputError
from utils.outputs import exported_example
from utils.outputs.export import FORMATS, check_export, export, load_exported


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.slow
def test_exported_models_write_the_same_captions(tiny_encoder, save_photo, tmp_path, form):
    for package in FORMATS[form][1]:
        pytest.importorskip(package)
    folder = tmp_path / "exported"
    paths = [save_photo(f"{seed}.png", size=(2 + seed, 3), seed=seed) for seed in range(12)]
    exact = tiny_encoder.copy(mirror=True)
    captioner = make_captioner(exact)
    regions = exact.encode(np.stack([load_pixels(path, 32) for path in paths]))
    captioner.decoder.standardise(regions.mean((0, 1)), regions.std((0, 1)))
    # VGG16 computes in bfloat16 where that is faster; other runtimes have no such convolutions.
    captioner.encoder = exact.copy(precision="bfloat16")
    export(captioner, form, folder)
    captioner.encoder = exact
    ours = [caption.words for caption in captioner.caption(paths, beam_size=1)]
    assert len(set(ours)) > 2
    words = load_exported(folder, form)(np.stack([load_pixels(path, 32) for path in paths]))
    assert [tuple(captioner.tokenizer.decode(numbers)) for numbers in words] == ours

    metadata = embedded_metadata(folder, form)
    for key, value in json.loads((folder / "metadata.json").read_text()).items():
        assert str(metadata[key]) == str(value)
    assert {"model", "image_size", "licence"} < metadata.keys()
    assert metadata["vocabulary"].split("\n")[:-1] == captioner.tokenizer.words

    done = subprocess.run(
        [sys.executable, "-P", folder / "caption.py", *paths[:2]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    sentences = [caption.text for caption in captioner.caption(paths[:2], beam_size=1)]
    assert done.stdout.splitlines() == sentences
    assert all(text[0].isupper() and text.endswith(".") for text in sentences)


def embedded_metadata(folder, form):
    """Read the metadata and the vocabulary from the model file."""
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / "captioner.onnx")
        tensors = [*session.get_inputs(), *session.get_outputs()]
        assert {each.name: each.shape[0] for each in tensors} == dict.fromkeys(
            ("pixels", "words", "attention"), "photos"
        )
        return session.get_modelmeta().custom_metadata_map
    root = folder / "captioner" / "assets"
    if form == "litert":
        root = zipfile.Path(folder / "captioner.tflite")
    return json.loads((root / "metadata.json").read_text("utf-8")) | {
        "vocabulary": (root / "vocabulary.txt").read_text("utf-8")
    }


def turned(image):
    image.getexif()[0x0112] = 6
    return image


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("large.jpg", lambda image: image.resize((2000, 1500))),
        ("turned.jpg", turned),
        ("alpha.png", lambda image: image.putalpha(Image.linear_gradient("L").resize(image.size)) or image),
        ("palette.gif", lambda image: image.quantize(16)),
        ("deep.png", lambda image: Image.fromarray(np.asarray(image.convert("L"), "uint16") * 257)),
        ("float.tif", lambda image: Image.fromarray(np.asarray(image.convert("L"), "float32") / 255)),
        ("bits.png", lambda image: image.convert("1")),
        ("print.jpg", lambda image: image.convert("CMYK")),
    ],
)
def test_the_example_reads_photos_as_the_captioner_does(save_photo, tmp_path, name, change):
    with Image.open(save_photo()) as image:
        image = change(image)
        image.save(tmp_path / name, exif=image.getexif())
    np.testing.assert_array_equal(
        exported_example.read_pixels(tmp_path / name, 32)[0], load_pixels(tmp_path / name, 32)
    )


def test_the_example_joins_words_as_the_captioner_does():
    for words in ([], ["a", "dog"], ["the", "dog", "'s", "ball", "is", "n't", "red"]):
        assert exported_example.to_sentence(words) == join_words(words)


def test_missing_packages_and_an_existing_folder_are_reported_first(tmp_path, monkeypatch):
    (tmp_path / "kept").touch()
    with pytest.raises(InputError, match="exists"):
        check_export("tf_saved_model", tmp_path, False)
    check_export("tf_saved_model", tmp_path, True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -r requirements-export\.txt"):
        check_export("onnx", tmp_path / "new", False)
