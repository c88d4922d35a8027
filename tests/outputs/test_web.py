"""Tests of the page that `export.py --format web` writes: parts of it in Node.js, and all of it in a real browser."""

import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.web_page import serve, status, wait
from utils.data.images import load_pixels, to_pixels
from utils.data.photo_files import sample_photo
from utils.errors import InputError
from utils.model.caption import Caption
from utils.model.caption_faults import fault
from utils.model.confidence import confidence_note
from utils.outputs.caption_files import table_writer

_TEMPLATE_SCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
const { toPixels } = await import(process.argv[1]);
for (const { file, width, height, size } of JSON.parse(readFileSync(0, "utf8"))) {
  const pixels = readFileSync(file);
  const read = (top, rows) => pixels.subarray(top * width * 4, (top + rows) * width * 4);
  writeFileSync(`${file}.small`, toPixels(read, width, height, size, false));
}
"""


@pytest.fixture(scope="module")
def template():
    pytest.importorskip("tensorflow")
    from utils.outputs import web_export

    return web_export.TEMPLATE


def _as_seen(photo):
    """Convert a PIL image to RGBA bytes."""
    return photo.convert("RGBA").tobytes()


# Sizes: smaller than, equal to and larger than the model's; reduced along one axis or both; read in several strips.
@pytest.fixture(scope="module")
def photos():
    sizes = [(20, 31), (32, 32), (45, 32), (500, 333), (96, 800), (193, 191), (3001, 1500)]
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (height, width, 3), "uint8")) for width, height in sizes]


def test_the_page_resizes_as_pillow_does(template, photos, tmp_path):
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    tasks = []
    for number, photo in enumerate(photos):
        file = tmp_path / str(number)
        file.write_bytes(_as_seen(photo))
        tasks.append({"file": str(file), "width": photo.width, "height": photo.height, "size": 32})
    command = ["node", "--input-type=module", "-e", _TEMPLATE_SCRIPT, str(template / "pixels.js")]
    done = subprocess.run(command, input=json.dumps(tasks), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for number, photo in enumerate(photos):
        ours = np.frombuffer((tmp_path / f"{number}.small").read_bytes(), "uint8").reshape(32, 32, 3)
        np.testing.assert_array_equal(ours, to_pixels(photo, 32), err_msg=str(photo.size))


def test_tables_of_the_page_equal_those_of_inference(template):
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    captions = [
        Caption("a, b.png", 'A "dog".', (), -4.25, None, score=-0.5, confidence=0.31239),
        Caption("ü.png", "A cat.", (), -3.0, None, score=1 / 3),
    ]
    rows = [
        {"name": each.path, "text": each.text, "logProbability": each.log_probability, "score": each.score}
        | ({} if each.confidence is None else {"confidence": each.confidence})
        for each in captions
    ]
    script = f"""
        import {{ toCsv, toJson }} from {json.dumps(str(template / "text.js"))};
        process.stdout.write(JSON.stringify([toCsv({json.dumps(rows)}), toJson({json.dumps(rows)})]));
    """
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tables = {form: io.StringIO() for form in ("csv", "json")}
    for form, stream in tables.items():
        write = table_writer(form, stream)
        for each in captions:
            write(each.path, [each])
    csv, lines = json.loads(done.stdout)
    assert csv == tables["csv"].getvalue()
    assert json.loads(lines) == [json.loads(line) for line in tables["json"].getvalue().splitlines()]


def test_the_page_finds_the_same_faulty_captions_as_inference(template):
    from utils.outputs import web_export

    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    generator = np.random.default_rng(0)
    vocabulary = ["a", "the", "and", "with", "another", "dog", "man", "red", "white", "running", "on"]
    captions = [[], *(generator.choice(vocabulary, size).tolist() for size in range(1, 8) for _ in range(100))]
    lists = web_export.fault_words()
    script = f"""
        import {{ isFaulty }} from {json.dumps(str(template / "faults.js"))};
        const [captions, lists] = {json.dumps([captions, lists])};
        process.stdout.write(JSON.stringify(captions.map((words) => isFaulty(words, lists))));
    """
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = [fault(words) is not None for words in captions]
    assert 100 < sum(expected) < 600
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize(
    ("end_after_dog", "words", "lowered"), [(0.1, ["a", "dog"], 0), (0, ["a", "dog", "with"], 1000)],
    ids=["a right caption is found", "all captions are faulty"],
)  # fmt: skip
def test_the_page_prefers_a_caption_that_does_not_break_off(template, end_after_dog, words, lowered):
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    from utils.outputs import web_export

    vocabulary = ["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "with"]
    following = np.full((7, 7), 1e-30)  # probabilities of the next word after each word
    following[1, 4] = following[4, 5] = following[6, 2] = 1
    following[5, [2, 6]] = end_after_dog + 1e-30, 1 - end_after_dog
    model = {
        "vocabulary": vocabulary, "special": {"pad": 0, "start": 1, "end": 2, "unknown": 3}, "beam_size": 2,
        "max_words": 5, "unrepeated": 3, "length_penalty": 1, "consensus_weight": 0,
        "fault_words": web_export.fault_words(),
    }  # fmt: skip
    script = f"""
        import {{ beamSearch }} from {json.dumps(str(template / "search.js"))};
        const [model, following] = {json.dumps([model, np.log(following).tolist()])};
        const step = async (words, hidden, cell) => ({{
          logProbabilities: words.flatMap((word) => following[word]), attention: [1, 1], hidden, cell,
        }});
        const zero = Float32Array.of(0);
        process.stdout.write(JSON.stringify(await beamSearch(model, {{ hidden: zero, cell: zero }}, step)));
    """
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [vocabulary[number] for number in found["words"]] == words
    assert found["score"] == pytest.approx(found["logProbability"] / (len(words) + 1) - lowered, abs=1e-4)


def test_a_missing_npm_is_one_line(template, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    from utils.outputs import web_export

    monkeypatch.setattr(web_export, "TEMPLATE", tmp_path)
    (tmp_path / "package.json").write_text('{"dependencies": {"onnxruntime-web": "1.2.3"}}')
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"^npm is not installed; it fetches onnxruntime-web 1\.2\.3: .+$"):
        web_export.check_web_export(tmp_path / "new", False)
    # npm is not needed after `npm install` in the template's folder.
    installed = tmp_path / "node_modules" / "onnxruntime-web"
    installed.mkdir(parents=True)
    (installed / "package.json").write_text('{"version": "1.2.3"}')
    web_export.check_web_export(tmp_path / "new", False)


def test_a_failure_of_npm_is_one_line(template, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    from utils.outputs import web_export

    failed = subprocess.CompletedProcess([], 1, "", "npm error code ENOTFOUND\nnpm error network\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(InputError, match=r"^npm cannot fetch onnxruntime-web@\S+: npm error code ENOTFOUND npm error"):
        web_export._fetch_runtime(tmp_path)


@pytest.fixture(scope="module")
def confident(tiny_captioner, photos):
    """Make a tiny captioner with consensus and confidence. It is sure of half of the photos."""
    from utils.captioner import Captioner
    from utils.model.confidence import Confidence
    from utils.model.consensus import Consensus

    encoder, tokenizer = tiny_captioner.encoder, tiny_captioner.tokenizer
    means = encoder.encode(np.stack([load_pixels(photo, 32) for photo in photos])).mean(axis=1)
    consensus = Consensus.fit(means, [[[4, 5 if i % 2 else 6]] for i in range(len(means))], len(tokenizer))
    parts = encoder, tokenizer, tiny_captioner.decoder, 6, "shapes", {}, consensus
    regression = Confidence([0, 0, 0], [1, 1, 1], [2, 1, 1], 0)
    first = np.array([each.confidence for each in Captioner(*parts, regression).caption(photos)])
    # Half-way between two photos, so that rounding does not decide of which ones it is sure.
    regression.bias = -np.sort(np.log(first / (1 - first)))[2:4].mean()
    return Captioner(*parts, regression)


@pytest.fixture(scope="module")
def page(template, confident, tmp_path_factory):
    """Export the page of a tiny model; returns its folder."""
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    from utils.outputs.web_export import export_web

    try:
        return export_web(confident, tmp_path_factory.mktemp("web") / "page", "tiny")
    except InputError as error:
        if "cannot fetch" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture
def served(page):
    """Serve the page; yields the address, and a list to which the server adds each request."""
    with serve(page) as (address, asked):
        yield address, asked


def _sentences(browser, paths):
    """Give photos to the page and return the sentences that it shows."""
    browser.find_element("id", "files").send_keys("\n".join(map(str, paths)))
    script = "return [...document.querySelectorAll('.sentence, .failed')].map((each) => each.textContent)"
    return wait(browser, lambda b: (found := b.execute_script(script)) and len(found) == len(paths) and found)


@pytest.mark.slow
def test_the_page_writes_the_captioners_captions_and_sends_no_requests(browser, served, confident, photos, tmp_path):
    address, asked = served
    browser.get(address)
    wait(browser, lambda b: status(b).startswith("Ready"))
    assert browser.execute_script("return crossOriginIsolated")
    loaded = len(asked)

    paths = [tmp_path / f"{number}.png" for number in range(len(photos))]
    for path, photo in zip(paths, photos):
        photo.save(path)
    expected = confident.caption(paths)
    assert _sentences(browser, paths) == [each.text for each in expected]
    # Browsers check for a new service worker by themselves.
    assert [each for each in asked[loaded:] if each != "/service.js"] == []

    # Each caption has its confidence, and captions of low confidence are marked.
    notes = [each.text for each in browser.find_elements("css selector", "#photos > li .confidence")]
    for note, each in zip(notes, expected, strict=True):
        # The browser's sums differ in the last digits, so its percentage may round to the next number.
        percent = re.compile(r"\d+(?=%)")
        assert percent.sub("", note) == percent.sub("", confidence_note(each))
        assert abs(int(percent.search(note)[0]) - 100 * each.confidence) <= 1
    assert 0 < sum("unsure" in note for note in notes) < len(notes)

    # The keyboard reaches the words, and a focused word shows its map.
    from selenium.webdriver.common.keys import Keys

    words = browser.find_elements("css selector", "#photos li:first-child .words button")
    browser.execute_script("arguments[0].focus()", words[0])
    assert words[0].get_attribute("class") == "lit"
    words[0].send_keys(Keys.TAB)
    shown = "return [...document.querySelectorAll('.map')].filter((each) => !each.hidden).length"
    assert browser.execute_script(shown) == (1 if len(words) > 1 else 0)


@pytest.mark.slow
def test_bad_files_get_a_message_and_other_photos_are_captioned(browser, served, save_photo, tmp_path):
    browser.get(served[0])
    wait(browser, lambda b: status(b).startswith("Ready"))
    empty, text, cut = (tmp_path / name for name in ("empty.jpg", "text.png", "cut.png"))
    empty.touch()
    text.write_text("no photo")
    cut.write_bytes(save_photo().read_bytes()[:100])
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGB", (70000, 1)).save(tmp_path / "wide.png")
    good = [tmp_path / "moving.gif", tmp_path / "clear.png"]
    written = _sentences(browser, [empty, text, cut, tmp_path / "wide.png", *good])
    assert written[0] == "This photo cannot be read: the file is empty."
    assert all(line.startswith("This photo cannot be read: damaged") for line in written[1:3])
    assert written[3] == "This photo cannot be captioned (it is too wide or too high for this browser)."
    assert not any("cannot" in line for line in written[4:])


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 400, 1280])
def test_the_page_fits_its_window(browser, served, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(served[0])
    wait(browser, lambda b: status(b).startswith("Ready"))
    _sentences(browser, [sample_photo()])
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
