import numpy as np
from PIL import Image

from utils.training.augmentation import augment


def picture():
    """Make a picture that is white on the left and black on the right."""
    pixels = np.zeros((30, 40, 3), "uint8")
    pixels[:, :20] = 255
    return Image.fromarray(pixels)


def left_is_lighter(photo):
    pixels = np.asarray(photo, "float32")
    return pixels[:, :8].mean() > pixels[:, -8:].mean()


def test_a_seed_gives_one_variation_and_seeds_give_many():
    variations = [np.asarray(augment(picture(), 16, np.random.default_rng(seed))) for seed in (0, 0, 1, 2)]
    assert all(variation.shape == (16, 16, 3) for variation in variations)
    assert (variations[0] == variations[1]).all()
    assert (variations[0] != variations[2]).any()
    assert (variations[2] != variations[3]).any()


def test_photos_are_mirrored_half_of_the_time_unless_sides_matter():
    generator = np.random.default_rng(0)
    free = [left_is_lighter(augment(picture(), 16, generator)) for _ in range(100)]
    assert 30 < sum(free) < 70
    assert all(left_is_lighter(augment(picture(), 16, generator, mirror=False)) for _ in range(100))
