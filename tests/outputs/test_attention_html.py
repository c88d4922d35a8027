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


def test_a_caption_of_low_confidence_says_so_and_shows_alternatives(caption):
    def with_confidence(value):
        return replace(caption, confidence=value)

    others = [replace(caption, text="A <cat>.")]
    page = attention_html(with_confidence(0.31), others=others)
    assert "The model is unsure (confidence 31%). It might also be:" in page
    assert "<li>A &lt;cat&gt;.</li>" in page
    assert all("unsure" not in attention_html(each) for each in (caption, with_confidence(None), with_confidence(0.5)))


def test_two_captions_of_a_page_have_different_ids(caption):
    names = [re.search(r'id="([\w-]+)"', attention_html(caption))[1] for _ in range(2)]
    assert len(set(names)) == 2
