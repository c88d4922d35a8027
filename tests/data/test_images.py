import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.data.fuzz_images import fuzz
from utils.data import images
from utils.data.images import load_pixels, open_photo
from utils.data.photo_files import SUFFIXES, find_photos, sample_photo
from utils.errors import ImageError, ImageWarning, InputError


def quadrants():
    """Make an image of 64 × 48 pixels whose quarters are red, green, blue and white, from the top left."""
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


@pytest.mark.parametrize("icon", [False, True])
def test_more_pixels_than_fit_are_refused_before_decoding(tmp_path, monkeypatch, icon):
    buffer = io.BytesIO()
    Image.new("L", (300, 200)).save(buffer, "PNG")
    data = buffer.getvalue()
    if icon:  # it says that it has 16 × 16 pixels
        data = struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(data), 22) + data
    (tmp_path / "scan.png").write_bytes(data)
    monkeypatch.setattr(images, "MAX_PIXELS", 50_000)
    with pytest.raises(ImageError, match=r"scan\.png: .* pixels are too many"):
        open_photo(tmp_path / "scan.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 60_000)
    assert open_photo(tmp_path / "scan.png").size == (300, 200)


def test_a_photo_of_the_right_size_is_not_touched(shared):
    path = sorted((shared / "flickr8k" / "Flicker8k_Dataset").iterdir())[0]
    with Image.open(path) as photo:
        assert (load_pixels(path, 224) == np.asarray(photo)).all()


@pytest.mark.parametrize("keep", [0.02, 0.3])
def test_files_with_less_than_half_of_the_photo_are_errors(tmp_path, keep):
    data = sample_photo().read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ImageError, match=r"cut\.jpg: damaged|cut\.jpg: not an image"):
        open_photo(tmp_path / "cut.jpg")


@pytest.mark.parametrize("cut", [2, 500, 20_000])
def test_a_jpeg_without_its_end_is_read_with_one_warning(tmp_path, cut, recwarn):
    path = tmp_path / "cut.jpg"
    path.write_bytes(sample_photo().read_bytes()[:-cut])
    for _ in range(2):
        upper = np.asarray(open_photo(path))[:300]
    assert (upper == np.asarray(open_photo(sample_photo()))[:300]).all()
    assert [str(warning.message) for warning in recwarn] == [
        f"{path}: the end of the file is missing; the rest is used"
    ]
    assert recwarn[0].category is ImageWarning


def test_a_jpeg_of_one_colour_without_its_last_bytes_is_read(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "JPEG")
    (tmp_path / "red.jpg").write_bytes(buffer.getvalue()[:-2])
    with pytest.warns(ImageWarning):
        assert load_pixels(tmp_path / "red.jpg", 2)[0, 0, 0] > 250


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_photos_with_damaged_exif_data_are_read_upright(shared):
    folder = shared / "field_cases" / "exif"
    for path in folder.glob("*.jpg"):
        assert open_photo(path).size == (224, 224), path.name


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Metadata Warning")
@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [(3, 1, b"\6\0\0\0"), (4, 1, b"\6\0\0\0"), (2, 2, b"6\0\0\0"), (3, 2, b"\6\0\1\0"), (1, 1, b"\6\0\0\0")],
)
def test_an_orientation_of_an_unusual_type_is_read(tmp_path, kind, count, value):
    entries = [
        (0x0112).to_bytes(2, "little") + kind.to_bytes(2, "little") + count.to_bytes(4, "little") + value,
        # A rational instead of a string, beyond the end of the data. Pillow's exif_transpose fails on it.
        (0x010F).to_bytes(2, "little") + (5).to_bytes(2, "little") + (9).to_bytes(4, "little") + b"\xff\0\0\0",
    ]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + len(entries).to_bytes(2, "little") + b"".join(entries) + bytes(4)
    quadrants().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    assert corner_colours(load_pixels(tmp_path / "photo.jpg", 32)) == RGBW


@pytest.mark.parametrize("offset", [-5, 8, 2**31 - 1])
def test_a_tiff_with_damaged_exif_data_is_read_upright(tmp_path, offset):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112], tags[0x8825] = 6, offset  # rotated, and with an invalid offset of GPS data
    tags.tagtype[0x8825] = 9
    turned = quadrants().transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "scan.tif", tiffinfo=tags)
    assert open_photo(tmp_path / "scan.tif").size == (64, 48)
    assert corner_colours(load_pixels(tmp_path / "scan.tif", 32)) == RGBW


def chunk(kind, content, checksum=None):
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return len(content).to_bytes(4) + kind + content + checksum.to_bytes(4)


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"wide\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"wide\0\7"),
        chunk(b"gAMA", b"\0\0\1\0", checksum=7),
        chunk(b"pHYs", b"\0"),
        chunk(b"acTL", b"\0"),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_damaged_metadata_of_a_png_does_not_matter(tmp_path, odd, after):
    quadrants().save(tmp_path / "good.png")
    data = (tmp_path / "good.png").read_bytes()
    place = data.index(b"IEND" if after else b"IDAT") - 4
    (tmp_path / "odd.png").write_bytes(data[:place] + odd + data[place:])
    assert open_photo(tmp_path / "odd.png").tobytes() == quadrants().tobytes()


def test_a_png_with_damaged_pixels_is_an_error(tmp_path):
    quadrants().save(tmp_path / "good.png")
    data = (tmp_path / "good.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(data[: data.index(b"IDAT") + 20])
    with pytest.raises(ImageError, match="damaged"):
        open_photo(tmp_path / "bad.png")


@pytest.mark.parametrize("form", ["TIFF", "PNG", "GIF"])
def test_pillows_limit_is_ignored_and_restored(tmp_path, form, monkeypatch):
    Image.new("L", (300, 200)).save(tmp_path / "scan", form)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    threads = [threading.Thread(target=open_photo, args=(tmp_path / "scan",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert open_photo(tmp_path / "scan").size == (300, 200)
    for thread in threads:
        thread.join()
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_heic_photo_of_a_phone_is_read_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = quadrants().transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "IMG_1.HEIC", "HEIF", exif=exif.tobytes(), quality=95)
    assert open_photo(tmp_path / "IMG_1.HEIC").size == (64, 48)
    assert corner_colours(load_pixels(tmp_path / "IMG_1.HEIC", 32)) == RGBW
    assert find_photos(tmp_path) == [tmp_path / "IMG_1.HEIC"]


def test_a_text_file_named_like_a_photo_is_an_error(tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear photo")
    with pytest.raises(ImageError, match="not an image"):
        open_photo(tmp_path / "letter.jpg")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.touch(), "the file is empty"),
        # Opening a pipe would wait for its writer.
        pytest.param(
            lambda path: os.mkfifo(path),
            "a pipe or a device, not a file",
            marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes"),
        ),
        (lambda path: path.symlink_to(path), "cannot be accessed"),
        (lambda path: path.mkdir(), "a folder, not a photo"),
        (lambda path: path.symlink_to("nowhere.jpg"), "no such file"),
    ],
)
def test_what_is_no_file_with_content_is_an_error_that_says_so(tmp_path, make, message):
    make(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=rf"a\.jpg: {message}"):
        open_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["a" * 300 + ".jpg", "a\0.jpg"])
def test_an_impossible_name_is_an_error(tmp_path, name):
    with pytest.raises(ImageError, match="cannot be accessed"):
        open_photo(tmp_path / name)


def test_missing_pixels_of_a_scientific_image_are_black(tmp_path, recwarn):
    Image.fromarray(np.array([[0, 1], [np.nan, 0.5]], "float32")).save(tmp_path / "a.tif")
    assert np.asarray(open_photo(tmp_path / "a.tif"))[..., 0].tolist() == [[0, 255], [0, 127]]
    assert not recwarn


@pytest.mark.filterwarnings("ignore")
def test_randomly_damaged_files_raise_only_image_errors():
    outcomes, others = fuzz(600)
    assert not others
    assert min(outcomes["read"], outcomes["refused"]) > 100


def test_a_damaged_tiff_prints_nothing_but_its_error(tmp_path, capfd):
    quadrants().save(tmp_path / "whole.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "whole.tif").read_bytes())
    data[8:40] = bytes(32)  # the compressed pixels
    (tmp_path / "bad.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"bad\.tif: damaged"):
        open_photo(tmp_path / "bad.tif")
    assert capfd.readouterr().err == ""


def test_what_pillow_logs_about_a_damaged_tiff_is_not_printed(tmp_path):
    quadrants().save(tmp_path / "bad.tif")
    data = bytearray((tmp_path / "bad.tif").read_bytes())
    place = data.index(bytes([277 - 256, 1, 3, 0]))  # the tag of the samples per pixel
    data[place + 8 : place + 10] = (2048).to_bytes(2, "little")
    (tmp_path / "bad.tif").write_bytes(data)
    code = """
import sys
from utils.data.images import open_photo
try:
    open_photo(sys.argv[1])
except Exception as error:
    print(error)
"""
    # In another process, because pytest handles what is logged in its own.
    command = [sys.executable, "-c", code, tmp_path / "bad.tif"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert "bad.tif: not an image" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("error", [RuntimeError, OverflowError, ZeroDivisionError])
def test_any_error_of_a_decoder_becomes_one_line(tmp_path, save_photo, monkeypatch, error):
    def fails(*_):
        raise error("first line\nsecond line")

    path = save_photo("a.jpg")
    monkeypatch.setattr(images, "_to_rgb", fails)
    with pytest.raises(ImageError, match=r"a\.jpg: damaged image \(first line second line\)$"):
        open_photo(path)


def test_a_name_is_one_line_in_an_error(tmp_path):
    with pytest.raises(ImageError) as raised:
        open_photo(tmp_path / "two\nlines\x1b[2J.jpg")
    assert str(raised.value).endswith("two\\nlines\\x1b[2J.jpg: no such file")


def test_a_folder_gives_its_photos_in_order(tmp_path, save_photo):
    for name in ("b/z.PNG", "a.jpg", "b/a.webp"):
        save_photo(name)
    (tmp_path / "notes.txt").write_text("no photo")
    assert [p.relative_to(tmp_path).as_posix() for p in find_photos(tmp_path)] == ["a.jpg", "b/a.webp", "b/z.PNG"]


def test_formats_that_pillow_reads_are_found_in_folders(tmp_path):
    for suffix in (".jfif", ".jpe", ".mpo", ".jp2", ".avif", ".heic", ".hif", ".ppm", ".apng", ".tga", ".psd", ".ico"):
        assert suffix in SUFFIXES
    for other in (".h5", ".pdf", ".eps", ".mpg", ".txt", ".json", ".fit", ""):
        assert other not in SUFFIXES


def test_skipped_files_of_a_folder_are_reported(tmp_path, save_photo):
    for name in ("a.jpg", "._a.jpg", ".thumbnails/b.jpg", "@eaDir/a.jpg/t.jpg", "#recycle/c.jpg", "d/e.jpg"):
        save_photo(name)
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "b.CR2").write_bytes(b"")
    (tmp_path / "f.jpg").mkdir()
    lines = []
    assert find_photos(tmp_path, lines.append) == [tmp_path / "a.jpg", tmp_path / "d" / "e.jpg"]
    assert lines == [
        f"{tmp_path}: skipped: 3 hidden or system folders (#recycle, …), 1 hidden files (._a.jpg), "
        "1 photos of unsupported formats; save them as JPEG (b.CR2), 1 empty folders that are named like photos (f.jpg)"
    ]


def test_linked_folders_are_followed_once(tmp_path, save_photo):
    for name in ("album/a.jpg", "album/deep/b.jpg", "elsewhere/c.jpg"):
        save_photo(name)
    album, elsewhere = tmp_path / "album", tmp_path / "elsewhere"
    links = {"0": album / "deep", "loop": album, "deep/up": album, "b": elsewhere, "c": elsewhere}
    for link, to in links.items():
        (album / link).symlink_to(to, target_is_directory=True)
    (album / "lost.jpg").symlink_to("nowhere.jpg")
    (album / "self.jpg").symlink_to("self.jpg")
    lines = []
    assert find_photos(album, lines.append) == [album / "a.jpg", album / "b" / "c.jpg", album / "deep" / "b.jpg"]
    assert "4 links to folders that were read already" in lines[0]
    assert "2 links to files that do not exist" in lines[0]


def test_a_folder_without_photos_is_an_error(tmp_path):
    (tmp_path / "@eaDir").mkdir()
    with pytest.raises(InputError, match=r"no photos in this folder; skipped: 1 hidden or system folders \(@eaDir\)"):
        find_photos(tmp_path)
    with pytest.raises(InputError, match=r"cannot be accessed \(File name too long\)$"):
        find_photos("x" * 5000)
