"""Unpack good, damaged and dangerous archives."""

import io
import stat
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from utils.data.fetch import archives
from utils.errors import InputError


def make_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path, *members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


FILES = {"a/1.jpg": "one", "a/b/2.jpg": "two", "__MACOSX/a/._1.jpg": "", "a/.DS_Store": "", "read.me": "hello"}


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_only_files_that_match_are_unpacked(tmp_path, name):
    path, out = tmp_path / name, tmp_path / "out"
    if name == "x.zip":
        make_zip(path, FILES)
    else:
        make_tar(path, *((n, c.encode(), tarfile.REGTYPE, "") for n, c in FILES.items()))
    assert archives.unpack(path, out, ["*.jpg"]) == (2, 0)
    assert content(out) == {"a/1.jpg": "one", "a/b/2.jpg": "two"}


def test_existing_files_are_not_changed(tmp_path):
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "1.jpg").write_text("mine")
    assert archives.unpack(make_zip(tmp_path / "x.zip", FILES), tmp_path / "out", ["*.jpg"]) == (1, 1)
    assert content(tmp_path / "out")["a/1.jpg"] == "mine"


@pytest.mark.parametrize("name", ["../out.jpg", "/tmp/out.jpg", "a/../../out.jpg", "C:/out.jpg", "..\\out.jpg"])
def test_no_file_is_written_outside_the_folder(tmp_path, name):
    with pytest.raises(InputError, match="would be written outside the folder"):
        archives.unpack(make_zip(tmp_path / "x.zip", {"1.jpg": "one", name: "evil"}), tmp_path / "out")
    with pytest.raises(InputError, match="would be written outside the folder"):
        archives.unpack(make_tar(tmp_path / "x.tar", (name, b"evil", tarfile.REGTYPE, "")), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["x.tar", "x.zip"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_of_tar_are_refused(tmp_path, kind):
    path = make_tar(tmp_path / "x.tar", ("a.jpg", b"", kind, "/etc/passwd"))
    with pytest.raises(InputError, match="is a link or a device"):
        archives.unpack(path, tmp_path / "out")


def test_links_of_zip_are_refused(tmp_path):
    link = zipfile.ZipInfo("a.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match="is a link or a device"):
        archives.unpack(make_zip(tmp_path / "x.zip", {link: "/etc/passwd"}), tmp_path / "out")


def test_an_archive_that_is_too_large_is_refused_before_unpacking(tmp_path, monkeypatch):
    bomb = make_zip(tmp_path / "x.zip", {"a.jpg": b"\0" * 10_000_000})
    assert bomb.stat().st_size < 20_000
    with pytest.raises(InputError, match=r"contains 0\.0 GB, more than the expected 0\.0 GB"):
        archives.unpack(bomb, tmp_path / "out", limit=1_000_000)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="are free; free some disk space"):
        archives.unpack(bomb, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_archive_with_wrong_sizes_is_refused(tmp_path):
    path = make_zip(tmp_path / "x.zip", {"a.jpg": b"\0" * 10_000})
    data = path.read_bytes()
    path.write_bytes(data.replace((10_000).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"damaged|larger than the archive says"):
        archives.unpack(path, tmp_path / "out")
    assert not content(tmp_path / "out")


@pytest.mark.parametrize("cut", [0, 10, 300, -30])
def test_a_damaged_archive_is_a_one_line_error(tmp_path, cut):
    whole = make_zip(tmp_path / "x.zip", {f"{i}.jpg": "word " * i for i in range(20)}).read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[:cut])
    with pytest.raises(InputError, match=r"x.zip: damaged archive"):
        archives.unpack(tmp_path / "x.zip", tmp_path / "out")
    (tmp_path / "x.zip").write_bytes(whole[:200] + b"garbage" + whole[207:])
    with pytest.raises(InputError, match=r"x.zip: damaged archive"):
        archives.unpack(tmp_path / "x.zip", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.partial"))


def test_damaged_compressed_data_are_a_one_line_error(tmp_path):
    data = bytearray(make_zip(tmp_path / "x.zip", {"a.jpg": "word " * 100}).read_bytes())
    data[30 + len("a.jpg")] = 0xFF  # the first byte after the header of the file
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.zip: damaged archive \(Error -3"):
        archives.unpack(tmp_path / "x.zip", tmp_path / "out")
