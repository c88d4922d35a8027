import contextlib

import numpy as np
import pytest
from PIL import Image

from utils.data import images
from utils.data.images import find_photos, find_unread, load_pixels, open_photo, sample_photo
from utils.errors import ImageError, InputError


def quadrants():
    """Red, green, blue, white from the top left, 64 × 48."""
    picture = Image.new("RGB", (64, 48), "red")
    picture.paste("lime", (32, 0, 64, 24))
    picture.paste("blue", (0, 24, 32, 48))
    picture.paste("white", (32, 24, 64, 48))
    return picture


def corner_colours(pixels):
    size = len(pixels)
    spots = [
        (size // 4, size // 4),
        (size // 4, 3 * size // 4),
        (3 * size // 4, size // 4),
        (3 * size // 4, 3 * size // 4),
    ]
    return ["".join("1" if v > 127 else "0" for v in pixels[spot]) for spot in spots]


RGBW = ["100", "010", "001", "111"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_whatever_its_exif_orientation(tmp_path, orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quadrants().transpose(undo[orientation]) if orientation > 1 else quadrants()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    assert open_photo(tmp_path / "photo.jpg").size == (64, 48)
    assert corner_colours(load_pixels(tmp_path / "photo.jpg", 32)) == RGBW


@pytest.mark.parametrize(
    ("name", "convert"),
    [
        ("palette.png", lambda i: i.convert("P")),
        ("palette.gif", lambda i: i.convert("P")),
        ("alpha.png", lambda i: i.convert("RGBA")),
        ("cmyk.jpg", lambda i: i.convert("CMYK")),
        ("ycc.jpg", lambda i: i.convert("YCbCr")),
        ("photo.webp", lambda i: i),
        ("photo.bmp", lambda i: i),
        ("photo.tiff", lambda i: i),
    ],
)
def test_every_mode_gives_the_same_colours(tmp_path, name, convert):
    convert(quadrants()).save(tmp_path / name)
    assert corner_colours(load_pixels(tmp_path / name, 32)) == RGBW


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16", "I", "F"])
def test_grey_modes_keep_their_brightness(tmp_path, mode):
    ramp = np.repeat(np.linspace(0, 255, 64)[None], 64, axis=0)
    if mode == "I;16":
        picture = Image.fromarray((ramp * 257).astype("uint16"))
    elif mode in ("I", "F"):
        picture = Image.fromarray(ramp.astype("int32" if mode == "I" else "float32"))
    else:
        picture = Image.fromarray(ramp.astype("uint8")).convert(mode)
    picture.save(tmp_path / "grey.tiff")
    pixels = load_pixels(tmp_path / "grey.tiff", 64).astype(int)
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert pixels[:, :8].mean() < 20
    assert pixels[:, -8:].mean() > 235


def test_transparent_pixels_are_white(tmp_path):
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (load_pixels(tmp_path / "clear.png", 8) == 255).all()


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert load_pixels(tmp_path / "moving.gif", 4)[0, 0].tolist() == [255, 0, 0]


def test_a_huge_jpeg_is_decoded_small(tmp_path):
    Image.new("RGB", (20000, 10000), "red").save(tmp_path / "huge.jpg")
    assert open_photo(tmp_path / "huge.jpg", at_least=448).size == (2500, 1250)


def test_more_pixels_than_fit_are_refused_before_decoding(tmp_path, monkeypatch):
    Image.new("L", (300, 200)).save(tmp_path / "scan.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 50_000)
    with pytest.raises(ImageError, match="300 × 200 pixels are too many"):
        open_photo(tmp_path / "scan.png")


def test_a_photo_of_the_right_size_is_not_touched(shared):
    path = sorted((shared / "flickr8k" / "Flicker8k_Dataset").iterdir())[0]
    with Image.open(path) as photo:
        assert (load_pixels(path, 224) == np.asarray(photo)).all()


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9])
def test_truncated_files_are_told(tmp_path, keep):
    data = sample_photo().read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ImageError, match=r"cut\.jpg: damaged|cut\.jpg: not an image"):
        open_photo(tmp_path / "cut.jpg")


def test_text_that_is_called_a_photo_is_told(tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear photo")
    with pytest.raises(ImageError, match="not an image"):
        open_photo(tmp_path / "letter.jpg")


def test_random_damage_never_ends_in_anything_but_an_image_error(tmp_path):
    generator = np.random.default_rng(0)
    for suffix in ("png", "gif", "bmp", "webp", "tiff", "jpg"):
        quadrants().save(tmp_path / f"good.{suffix}")
        data = bytearray((tmp_path / f"good.{suffix}").read_bytes())
        for _ in range(60):
            damaged = data.copy()
            for position in generator.integers(0, len(data), 4):
                damaged[position] = generator.integers(256)
            (tmp_path / f"bad.{suffix}").write_bytes(damaged)
            with contextlib.suppress(ImageError):
                assert load_pixels(tmp_path / f"bad.{suffix}", 16).shape == (16, 16, 3)


def test_a_folder_gives_its_photos_in_order(tmp_path, save_photo):
    for name in ("b/z.PNG", "a.jpg", "b/a.webp"):
        save_photo(name)
    (tmp_path / "notes.txt").write_text("no photo")
    assert [p.relative_to(tmp_path).as_posix() for p in find_photos(tmp_path)] == ["a.jpg", "b/a.webp", "b/z.PNG"]


def test_photos_of_formats_that_are_not_read_are_known(tmp_path, save_photo):
    save_photo("a.jpg")
    (tmp_path / "b.HEIC").write_bytes(b"")
    assert find_unread(tmp_path) == [tmp_path / "b.HEIC"]
    assert find_unread(tmp_path / "a.jpg") == []


def test_a_folder_without_photos_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no photos in this folder"):
        find_photos(tmp_path)
