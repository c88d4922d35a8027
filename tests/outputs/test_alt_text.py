import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from utils.data.photo_sources import find_sources
from utils.errors import InputError
from utils.outputs.alt_text import check, find_described, write_alt_text

needs_exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="needs ExifTool")


def test_a_text_beside_a_photo_is_replaced_only_on_request(save_photo):
    photo, text = save_photo("photo.jpg"), save_photo("photo.jpg").with_name("photo.jpg.txt")
    assert write_alt_text(photo, "A dog.", "file")
    assert not write_alt_text(photo, "A cat.", "file")
    assert text.read_text() == "A dog.\n"
    assert write_alt_text(photo, "A cat.", "file", overwrite=True)
    assert text.read_text() == "A cat.\n"


def test_photos_that_cannot_have_a_text_are_reported_first(save_photo, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="on this machine only"):
        check(find_sources(["https://example.org/a.jpg"], tmp_path, None), "file")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="not installed"):
        check(find_sources([str(save_photo())], tmp_path, None), "metadata")


def read_tags(path):
    tags = ("-XMP-iptcCore:AltTextAccessibility", "-XMP-dc:Description", "-EXIF:ImageDescription", "-Model")
    lines = subprocess.run(["exiftool", "-s3", "-f", *tags, str(path)], capture_output=True, text=True, check=True)
    return lines.stdout.splitlines()


@needs_exiftool
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_text_inside_a_photo_does_not_change_pixels_and_other_metadata(save_photo, tmp_path, suffix):
    photo, exif = tmp_path / f"-photo ü.{suffix}", Image.Exif()
    exif[0x0110] = "Camera"
    Image.open(save_photo()).save(photo, exif=exif)
    before = np.asarray(Image.open(photo))
    assert write_alt_text(photo, "A dog – «ä».", "metadata")
    assert not write_alt_text(photo, "A cat.", "metadata")
    assert read_tags(photo) == ["A dog – «ä»."] * 3 + ["Camera"]
    assert write_alt_text(photo, "A cat.", "metadata", overwrite=True)
    assert read_tags(photo) == ["A cat."] * 3 + ["Camera"]
    np.testing.assert_array_equal(np.asarray(Image.open(photo)), before)
    assert [path.name for path in tmp_path.glob(f"*.{suffix}*")].count(photo.name) == 1


@needs_exiftool
def test_a_description_that_a_person_wrote_is_kept(save_photo, tmp_path):
    photo, exif = tmp_path / "photo.jpg", Image.Exif()
    exif[0x010E] = "Our dog Rex"
    Image.open(save_photo()).save(photo, exif=exif)
    assert write_alt_text(photo, "A dog.", "metadata")
    assert read_tags(photo)[:3] == ["A dog.", "A dog.", "Our dog Rex"]


@needs_exiftool
def test_a_photo_keeps_its_time_and_has_a_backup_unless_overwrite_is_set(save_photo, tmp_path):
    photo, backup = tmp_path / "photo.jpg", tmp_path / "photo.jpg_original"
    Image.open(save_photo()).save(photo)
    os.utime(photo, (10**9, 10**9))
    before = photo.read_bytes()
    write_alt_text(photo, "A dog.", "metadata")
    assert backup.read_bytes() == before
    assert photo.stat().st_mtime == 10**9
    backup.unlink()
    write_alt_text(photo, "A cat.", "metadata", overwrite=True)
    assert not backup.exists()
    assert photo.stat().st_mtime == 10**9


@pytest.mark.parametrize("where", ["file", pytest.param("metadata", marks=needs_exiftool)])
def test_photos_that_already_have_a_text_are_found(save_photo, tmp_path, where):
    names = ["with.jpg", "without.jpg", "with ü.png", "broken.jpg"]
    for name in names:
        Image.open(save_photo("x.png")).save(tmp_path / name)
    (tmp_path / "broken.jpg").write_text("no photo")
    sources = find_sources([str(tmp_path / name) for name in names], tmp_path, None)
    assert find_described(sources, where) == set()
    for name in ("with.jpg", "with ü.png"):
        write_alt_text(tmp_path / name, "A dog.", where)
    assert {path.name for path in find_described(sources, where)} == {"with.jpg", "with ü.png"}


@needs_exiftool
def test_a_format_without_metadata_is_a_one_line_error(save_photo):
    with pytest.raises(InputError, match="ExifTool cannot write"):
        write_alt_text(save_photo("photo.bmp"), "A dog.", "metadata")
