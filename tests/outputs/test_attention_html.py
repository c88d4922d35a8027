import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from utils.captioner import Caption
from utils.outputs.attention_html import attention_html


@pytest.fixture
def caption(save_photo):
    attention = np.zeros((2, 4, 4), "float32")
    attention[0, 0, 3] = attention[1, 2, 0] = 1
    return Caption(save_photo(), 'A <b>"dog".', ("a", '<b>"dog"'), -1.0, attention)


def test_each_word_is_a_button_with_a_map_that_is_bright_at_the_attended_region(caption):
    page = attention_html(caption)
    assert re.findall(r'<button type="button" class="(\w+)"', page) == ["w0", "w1"]
    maps = re.findall(r'class="m(\d)" alt="" src="data:image/png;base64,([^"]+)"', page)
    for number, data in maps:
        shade = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))[..., 3]
        assert np.argwhere(shade == 0).tolist() == [[[0, 3], [2, 0]][int(number)]]
    assert len(maps) == 2


def test_words_are_text_and_never_markup(caption):
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.feed(attention_html(caption))
    assert {tag for tag, _ in tags} == {"div", "style", "p", "button", "img"}
    assert next(attributes["alt"] for tag, attributes in tags if tag == "img") == caption.text


def test_captions_show_their_confidence_and_low_ones_say_so(caption):
    def with_confidence(value):
        return replace(caption, confidence=value)

    others = [replace(caption, text="A <cat>.", confidence=0.2)]
    unsure, sure, unknown = (attention_html(with_confidence(value), others=others) for value in (0.31, 0.83, None))
    assert "The model is unsure (confidence 31%)." in unsure
    assert "Confidence 83%." in sure
    assert ["might also be" in page for page in (unsure, sure, unknown)] == [True, False, False]
    assert all("(confidence 20%)" in page and "A &lt;cat&gt;." in page for page in (unsure, sure, unknown))
    assert 'class="confidence"' not in attention_html(caption)


def test_the_words_of_all_captions_have_their_own_maps(caption):
    other = replace(caption, text="A cat runs.", words=("a", "cat", "runs"), attention=np.eye(16)[:3].reshape(3, 4, 4))
    page = attention_html(caption, others=[other])
    words = re.findall(r'<button type="button" class="w(\d)"[^>]*>([^<]+)</button>', page)
    assert words == [("0", "a"), ("1", "&lt;b&gt;&quot;dog&quot;"), ("2", "a"), ("3", "cat"), ("4", "runs")]
    maps = dict(re.findall(r'class="m(\d)" alt="" src="data:image/png;base64,([^"]+)"', page))
    shade = np.asarray(Image.open(io.BytesIO(base64.b64decode(maps["4"]))))[..., 3]
    assert np.argwhere(shade == 0).tolist() == [[0, 2]]


def test_two_captions_of_a_page_have_different_ids(caption):
    names = [re.search(r'id="([\w-]+)"', attention_html(caption))[1] for _ in range(2)]
    assert len(set(names)) == 2
