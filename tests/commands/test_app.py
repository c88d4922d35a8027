"""Test the page of app.py in a real browser, if Gradio, Selenium and Chromium are installed, and its API."""

import base64
import csv
import io
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from utils.data.photo_files import sample_photo
from utils.errors import InputError


def _visible(browser, selector):
    """Wait until a CSS selector finds elements, and return them."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 30).until(lambda b: b.find_elements("css selector", selector))


def _drop(browser, *photos):
    _visible(browser, "input[type=file]")[0].send_keys("\n".join(map(str, photos)))


def _content(link):
    """Return the content of the file in a download link."""
    return base64.b64decode(link.get_attribute("href").split("base64,")[1])


@pytest.fixture
def resize(browser):
    """Return a function that sets the size of the window."""

    def resize(width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    return resize


@pytest.fixture(scope="module")
def address(tiny_captioner, tmp_path_factory):
    pytest.importorskip("gradio")  # imported here, because the import takes seconds

    def load(name):
        if name == "broken":
            raise InputError("broken: damaged model folder")
        return tiny_captioner

    example = shutil.copy(sample_photo(), tmp_path_factory.mktemp("examples"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        page = app.make_page(load, ["tiny", "broken"], examples=[example])
        yield app.serve(page, prevent_thread_lock=True, quiet=True)[1]
        page.close()


@pytest.fixture
def client(address):
    from gradio_client import Client

    return Client(address, verbose=False)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (400, 700)])
def test_a_dropped_photo_is_captioned_and_words_show_attention(browser, address, resize, tiny_captioner, width, height):
    from selenium.webdriver import ActionChains

    resize(width, height)
    browser.get(address)
    _drop(browser, sample_photo())
    words = _visible(browser, ".captioned button")
    caption = tiny_captioner.caption([sample_photo()])[0]
    assert tuple(word.text for word in words) == caption.words
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    (sentence,) = browser.find_elements("css selector", ".sentence")
    assert sentence.text == caption.text
    assert sentence.rect["y"] + sentence.rect["height"] < height  # in view without scrolling
    assert len(browser.find_elements("css selector", f"img[alt='{caption.text}']")) == 1
    (link,) = _visible(browser, "a[download$='.png']")
    assert Image.open(io.BytesIO(_content(link))).width > 1000
    assert caption.text in [each.get_attribute("value") for each in browser.find_elements("tag name", "textarea")]

    def lit():
        time.sleep(0.4)  # the map fades in
        maps = browser.find_elements("css selector", ".captioned .photo img + img")
        return [number for number, each in enumerate(maps) if each.value_of_css_property("opacity") == "1"]

    assert lit() == []
    ActionChains(browser).move_to_element(words[-1]).perform()
    assert lit() == [len(words) - 1]
    assert words[-1].value_of_css_property("background-color") == "rgba(244, 166, 42, 1)"


def test_the_keyboard_reaches_examples_and_words(browser, address, resize):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def go_to(name, *keys):
        for _ in range(20):
            ActionChains(browser).send_keys(Keys.TAB).perform()
            if name in browser.switch_to.active_element.get_attribute("class").split():
                ActionChains(browser).send_keys(*keys).perform()
                return
        raise AssertionError(f"Tab does not reach {name}")

    resize(1280, 900)
    browser.get(address)
    _visible(browser, ".gallery-item")
    go_to("gallery-item", Keys.ENTER)
    _visible(browser, ".captioned button")
    browser.execute_script("document.activeElement.blur()")
    go_to("w0")
    time.sleep(0.4)
    assert _visible(browser, ".captioned .m0")[0].value_of_css_property("opacity") == "1"


def test_several_photos_give_a_table_and_bad_files_a_message(browser, address, save_photo, tmp_path, capfd):
    (tmp_path / "notes.txt").write_text("Dear photo")
    (tmp_path / "empty.jpg").touch()
    browser.get(address)
    _drop(browser, save_photo("a.png"), tmp_path / "notes.txt", tmp_path / "empty.jpg", save_photo("b.jpg", seed=1))
    (link,) = _visible(browser, "a[download='captions.csv']")
    table = list(csv.DictReader(io.StringIO(_content(link).decode("utf-8-sig"))))
    assert [row["photo"] for row in table] == ["a.png", "b.jpg"]
    assert [row["caption"] for row in table] == [each.text for each in _visible(browser, ".sentence")]
    problems = [each.text for each in _visible(browser, ".problem")]
    assert [text.split(",")[0] for text in problems] == ["notes.txt: not an image", "empty.jpg: the file is empty"]
    assert not browser.find_elements("css selector", ".toast-body")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_programs_get_the_caption_of_unchanged_pixels_as_json(client, tiny_captioner, tmp_path, mode):
    from gradio_client import handle_file

    picture = Image.open(sample_photo())
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    else:
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype("uint16") * 257)
    picture.save(tmp_path / "photo.png")
    answer = client.predict(handle_file(str(tmp_path / "photo.png")), api_name="/caption")
    expected = tiny_captioner.caption([tmp_path / "photo.png"])[0]
    assert (answer["caption"], answer["words"]) == (expected.text, list(expected.words))
    assert answer["log_probability"] == pytest.approx(expected.log_probability, abs=1e-3)
    answer = client.predict(handle_file(str(tmp_path / "photo.png")), num_captions=3, api_name="/caption")
    assert len(answer["captions"]) == 3


def test_programs_get_errors_as_one_sentence(client, tmp_path, capfd):
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    (tmp_path / "notes.txt").write_text("Dear photo")
    with pytest.raises(AppError, match=r"^notes\.txt: not an image"):
        client.predict(handle_file(str(tmp_path / "notes.txt")), api_name="/caption")
    with pytest.raises(AppError, match="broken: damaged model folder"):
        client.predict(handle_file(str(sample_photo())), model="broken", api_name="/caption")
    assert "Traceback" not in capfd.readouterr().err


def test_models_beside_the_given_one_are_offered_after_it(tiny_captioner, tmp_path):
    for name in ("a", "b"):
        tiny_captioner.save(tmp_path / name)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text("{}")
    assert app.find_models(tmp_path / "b") == {"b": tmp_path / "b", "a": tmp_path / "a"}


def test_examples_fit_the_training_data_of_the_models(tiny_captioner, tmp_path):
    tiny_captioner.save(tmp_path / "scenes")  # its config says that it was trained on shapes
    flickr8k = Path(app.__file__).parent / "models" / "flickr8k"
    for number, (models, names) in enumerate([([tmp_path / "scenes"], ["test-000"] * 4), ([flickr8k], ["grace_ho"])]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert [each.name[:8] for each in app.find_examples(models, folder)] == names
