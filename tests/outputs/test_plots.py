import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from utils.captioner import Caption
from utils.errors import InputError
from utils.outputs.plots import attention_figure, save_figure, training_figure


@pytest.mark.parametrize("size", [(300, 200), (120, 400), (30, 30)])
def test_attention_is_drawn_at_its_place_on_the_photo(tmp_path, size):
    """Attention on the top right region brightens the top right of photos of any shape."""
    Image.new("RGB", size, "gray").save(tmp_path / "photo.png")
    attention = np.zeros((2, 4, 4), "float32")
    attention[:, 0, 3] = 1
    figure = attention_figure(Caption(tmp_path / "photo.png", "A dog.", ("a", "dog"), -1.0, attention))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    word = figure.axes[1]
    assert word.get_title() == "a"
    box = word.get_window_extent()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float)
    top = len(pixels) - round(box.y1)
    picture = pixels[top : len(pixels) - round(box.y0), round(box.x0) : round(box.x1)]
    assert picture.shape[1] / picture.shape[0] == pytest.approx(size[0] / size[1], rel=0.1)
    height, width = picture.shape[:2]
    centres = picture[height // 8 :: height // 4, width // 8 :: width // 4][:4, :4].sum(-1)
    assert np.unravel_index(centres.argmax(), centres.shape) == (0, 3)


def test_each_word_has_a_picture(tmp_path, save_photo):
    words = ("a", "brown", "dog", "runs", "over", "the", "green", "grass")
    figure = attention_figure(Caption(save_photo(), "A dog.", words, -1.0, np.full((8, 2, 2), 0.25)))
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == list(words)
    save_figure(figure, tmp_path / "deep" / "out.pdf")
    assert (tmp_path / "deep" / "out.pdf").exists()


def test_several_captions_are_drawn_below_one_another(save_photo):
    photo, maps = save_photo(), np.full((2, 2, 2), 0.25)
    captions = [Caption(photo, f"A {what}.", ("a", what), -1.0, maps) for what in ("dog", "cat")]
    figure = attention_figure(captions)
    assert [part.get_suptitle() for part in figure.subfigs] == ["A dog.", "A cat."]
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["a", "dog", "a", "cat"]


def test_curves_of_a_single_epoch(tmp_path):
    row = {"stage": "decoder", "epoch": 1, "loss": 3.0, "val_CIDEr": 0.1, "val_Bleu_4": 0.05}
    save_figure(training_figure([row]), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_an_unknown_suffix_is_a_one_line_error(tmp_path):
    with pytest.raises(InputError, match="cannot write picture"):
        save_figure(training_figure([]), tmp_path / "curves.nonsense")
