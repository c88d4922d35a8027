from types import SimpleNamespace

import numpy as np
import pytest

from utils import console
from utils.data.images import load_pixels
from utils.features.encoders import Encoder
from utils.training.views import ViewSource, load_view, open_views, view_of


@pytest.fixture
def photos(save_photo):
    references = [("a dog runs",), ("a dog on the left",), ("a cat",)]
    paths = [save_photo(f"{n}.png", seed=n) for n in range(len(references))]
    return [SimpleNamespace(id=path.name, path=path, references=texts) for path, texts in zip(paths, references)]


@pytest.fixture
def source(photos, tmp_path):
    encoder = Encoder("vgg16", "random", image_size=32, layer="block2_pool", precision="float32")
    cache = open_views(tmp_path / "cache", "test", encoder, "block1_pool")
    assert cache.fill([view_of(photo, number) for photo in photos for number in range(3)]) == {}
    return ViewSource(encoder, cache, 3)


def test_regions_from_cached_views_are_those_of_the_whole_encoder(source, photos):
    whole = Encoder("vgg16", "random", image_size=32, layer="block2_pool", precision="float32", mirror=True)
    expected = whole.encode(np.stack([load_pixels(photo.path, 32) for photo in photos]))
    found = source.regions(source.encoder, photos)
    # Cached values have eight bits.
    np.testing.assert_allclose(found, expected, atol=0.02 * expected.max())
    np.testing.assert_allclose(
        source.means(photos, console.progress), expected.mean(axis=1), atol=0.01 * expected.max()
    )


def test_training_sees_every_view_but_no_mirror_image_where_sides_matter(source, photos):
    generators = np.random.default_rng(0).spawn(20)
    chosen = [{source._choose(photo, generator).number for generator in generators} for photo in photos]
    assert chosen == [{0, 1, 2}, {0, 2}, {0, 1, 2}]
    assert source.load(photos, generators[:3]).shape == (3, 16 * 16, 64)


def test_a_view_is_the_same_every_time_and_unlike_the_photo(photos):
    views = [load_view(view_of(photos[0], number), 32) for number in (0, 1, 2, 2)]
    np.testing.assert_array_equal(views[2], views[3])
    np.testing.assert_array_equal(views[0], load_pixels(photos[0].path, 32))
    np.testing.assert_array_equal(views[1], views[0][:, ::-1])
    assert np.abs(views[2].astype(int) - views[0]).mean() > 1
