"""Makes HTML that shows a photo and its captions. Point at a word to see where the model looked for this word."""

import base64
import html
import io
from itertools import count

import numpy as np
from PIL import Image

from utils.data.images import open_photo
from utils.model.confidence import confidence_note, is_unsure

# Maximum length of the longer side of the photo, in pixels.
_SIZE = 900

# Each caption on a page needs its own HTML id. These numbers make the ids different.
_numbers = count()

# `!important` overrides the button style of the surrounding page, such as Gradio's theme.
_STYLE = """
.captioned { font-family: system-ui, sans-serif; display: grid; grid-template-columns: minmax(0, 1fr); }
.captioned .photo { position: relative; line-height: 0; max-width: 100%; margin: 0; }
.captioned .photo img { width: 100%; display: block; margin: 0; border-radius: 6px; }
.captioned .photo img + img { position: absolute; inset: 0; height: 100%; opacity: 0; transition: opacity .15s; }
.captioned .sentence { margin: 0 0 .3em; font-size: 1.5rem; line-height: 1.3; font-weight: 600; user-select: text; }
.captioned .confidence { margin: 0 0 .3em; opacity: .8; }
.captioned .others { margin: 0; padding: 0; list-style: none; }
.captioned .others p { display: inline; }
.captioned .others .sentence { font-size: 1rem; }
.captioned .photo + p { margin: 1em 0 .3em; }
.captioned .words { margin: .2em 0 .6em; display: flex; flex-wrap: wrap; gap: .25em; }
.captioned button { border: 0; margin: 0 !important; padding: .25em .6em; border-radius: 6px;
  font: 500 1rem system-ui !important; background: #e4e4e7; color: #111; cursor: default; }
.captioned .others button { font-size: .875rem !important; }
.captioned button:hover, .captioned button:focus { background: #f4a62a !important; color: #000 !important; }
.captioned button:focus-visible { outline: 3px solid #2463eb; }
"""


def _data_uri(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shade(attention):
    """Draw the attention of one word as a picture that darkens the photo where the model did not look.

    The picture has one black pixel per region. The lower the weight of a region, the more the pixel darkens the photo.

    Args:
        attention: attention weights of the word, float (rows, columns).

    Returns:
        A PIL image in RGBA.
    """
    strength = attention / max(attention.max(), 2 / attention.size)
    pixels = np.zeros((*attention.shape, 4), "uint8")
    pixels[..., 3] = np.rint(225 * (1 - strength))
    return Image.fromarray(pixels)


def attention_html(caption, photo=None, others=()):
    """Make HTML that shows a photo, its captions and the attention of each word.

    The HTML needs no script and no other file. Words can be reached with the Tab key.
    A sentence gives the confidence of each caption that has one, and says if it is low.

    Args:
        caption: a Caption.
        photo: the photo as a PIL image, which is made smaller if it is large. None: read the caption's photo.
        others: a list or tuple of further `Caption` objects for the photo. They are listed below the photo.

    Returns:
        HTML, a string.
    """
    photo = photo or caption.photo or open_photo(caption.path)
    photo.thumbnail((_SIZE, _SIZE))
    name = f"captioned-{next(_numbers)}"
    rules, maps = [_STYLE], []

    def describe(each):
        """Make the HTML of a Caption: sentence, confidence and words. Add the words' attention maps to `maps`."""
        buttons = []
        for word, attention in zip(each.words, each.attention):
            number = len(maps)
            chosen = f"#{name}:has(.w{number}:hover, .w{number}:focus)"
            rules.append(f"{chosen} .m{number} {{ opacity: 1; }}")
            maps.append(f'<img class="m{number}" alt="" src="{_data_uri(_shade(attention), "PNG")}">')
            label = f"{html.escape(word)}: show where the model looked"
            buttons.append(
                f'<button type="button" class="w{number}" title="where the model looked" aria-label="{label}">'
                f"{html.escape(word)}</button>"
            )
        note = confidence_note(each)
        return (
            f'<p class="sentence">{html.escape(each.text)}</p>'
            + (f' <p class="confidence">{note}</p>' if note else "")
            + f'<div class="words" role="group" aria-label="words of the caption">{"".join(buttons)}</div>'
        )

    first, rest = describe(caption), ""
    if others:
        heading = "It might also be:" if is_unsure(caption) else "Other captions:"
        items = "".join(f"<li>{describe(other)}</li>" for other in others)
        rest = f'<p>{heading}</p><ul class="others">{items}</ul>'
    # The photo takes at most 60 % of the height of the window, so that the words stay visible.
    width = f"width: calc(60vh * {photo.width / photo.height:.3f})"
    text = html.escape(caption.text, quote=True)
    return (
        f'<div class="captioned" id="{name}"><style>{"".join(rules)}</style>{first}'
        f'<div class="photo" style="{width}"><img alt="{text}" src="{_data_uri(photo, "JPEG", quality=88)}">'
        f"{''.join(maps)}</div>{rest}</div>"
    )
