import numpy as np
import pytest
from PIL import Image

from utils.data.images import to_pixels
from utils.training.pretraining.views import draw_views, resample, view, whole_views


@pytest.fixture
def photos(save_photo):
    return np.stack([to_pixels(Image.open(save_photo(f"{n}.png")).convert("RGB"), 48) for n in range(4)])


def test_whole_views_show_photos_as_they_are(photos):
    np.testing.assert_allclose(view(photos, *whole_views(4), 48), photos, atol=1e-3)


@pytest.mark.parametrize("size", [24, 48, 96])
def test_boxes_show_what_pillow_crops(photos, size):
    boxes = np.array([[0, 0, 1, 1], [0.25, 0.5, 0.75, 1], [0, 0, 0.5, 0.25], [0.5, 0.25, 1, 0.75]], "float32")
    for photo, box, seen in zip(photos, boxes, np.asarray(resample(photos, boxes, size))):
        expected = Image.fromarray(photo).resize((size, size), Image.Resampling.BILINEAR, box=tuple(48 * box))
        # At its edge Pillow looks beyond the box.
        inner = slice(size // 12, -(size // 12))
        np.testing.assert_allclose(seen[inner, inner], np.asarray(expected)[inner, inner], atol=1.5)


def test_a_box_from_right_to_left_mirrors(photos):
    boxes = np.array([[0.2, 0.1, 0.9, 0.8]] * 4, "float32")
    mirrored = np.asarray(resample(photos, boxes[:, [2, 1, 0, 3]], 32))
    np.testing.assert_allclose(mirrored, np.asarray(resample(photos, boxes, 32))[:, :, ::-1], atol=1e-3)


def test_views_stay_within_what_pixels_can_be_and_differ(photos):
    parameters = draw_views(np.random.default_rng(0), 40)
    many = np.asarray(view(np.tile(photos, (10, 1, 1, 1)), *parameters, 32))
    assert many.min() >= 0
    assert many.max() <= 255
    assert len({each.tobytes() for each in many}) == 40
    boxes, _, shares = parameters
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    assert (boxes[:, 0] > boxes[:, 2]).any()
    assert (shares == 0).any()
    assert (shares > 0).any()


def test_a_share_of_the_photo_before_is_seen_through(photos):
    boxes, light, shares = whole_views(4)
    seen = np.asarray(view(photos, boxes, light, shares + np.float32(0.25), 48))
    np.testing.assert_allclose(seen[1], 0.75 * photos[1] + 0.25 * photos[0], atol=1e-2)
