import base64
import functools
import http.server
import io
import os
import threading
from pathlib import Path

import pytest

from utils.data.images import open_photo
from utils.data.photo_sources import _ascii_address, find_sources, is_single, result_paths
from utils.errors import ImageError, InputError


@pytest.fixture
def find(tmp_path):
    """Return a function that takes names and returns Sources. Its argument `piped` is the content of standard input."""
    (tmp_path / "fetched").mkdir()

    def call(*names, piped=b""):
        return find_sources([str(name) for name in names], tmp_path / "fetched", io.BytesIO(piped))

    return call


@pytest.fixture
def address(tmp_path):
    """Start a web server for a folder. Returns (address, folder)."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def test_files_folders_and_patterns(find, save_photo, tmp_path):
    photos = [save_photo(name) for name in ("a/1.png", "a/deep/2.jpg", "b/[3].png")]
    (tmp_path / "a" / "notes.txt").write_text("no photo")
    assert [source.path for source in find(tmp_path / "a", photos[2])] == photos
    assert [source.path for source in find(tmp_path / "**" / "*.png")] == [photos[0], photos[2]]
    assert [source.name for source in find(photos[0])] == [str(photos[0])]
    with pytest.raises(InputError, match="no file matches"):
        find(tmp_path / "*.gif")
    with pytest.raises(InputError, match="no such file"):
        find(tmp_path / "nothing")
    with pytest.raises(InputError, match="the name of a photo is empty"):  # "$PHOTO" without a value
        find("")
    with pytest.raises(InputError, match=r"s3://bucket/a.jpg: only http, https, file and data addresses"):
        find("s3://bucket/a.jpg")


@pytest.mark.parametrize(
    "encode",
    [
        lambda names: "\n".join(names).encode("utf-8-sig"),
        lambda names: "\r\n".join(names).encode("utf-16"),
        lambda names: "\r\n".join(names).encode("utf-16-le"),
        lambda names: "".join(f"{name}\0" for name in names).encode(),
    ],
    ids=["byte order mark", "UTF-16", "UTF-16 without a byte order mark", "find -print0"],
)
def test_lists_as_other_programs_write_them(find, save_photo, encode):
    photos = [save_photo(f"ü {number}.png") for number in (1, 2)]
    assert [source.path for source in find("-", piped=encode([str(photo) for photo in photos]))] == photos


def test_names_of_a_list_that_do_not_exist_cost_only_themselves(save_photo, tmp_path):
    notes, photo = [], save_photo()
    data = f"{photo}\n{tmp_path}/gone.jpg\n{tmp_path}/{'x' * 300}.jpg\n".encode()
    (source,) = find_sources(["-"], tmp_path, io.BytesIO(data), notes.append)
    assert source.path == photo
    assert "gone.jpg: no such file or folder" in str(notes[0])
    assert "File name too long" in str(notes[1])
    assert notes[2] == "2 of 3 names in the list are skipped"
    with pytest.raises(InputError, match=r"gone\.jpg: no such file"):
        find_sources(["-"], tmp_path, io.BytesIO(f"{tmp_path}/gone.jpg".encode()))


def test_addresses_of_files(find, save_photo, tmp_path):
    photo = save_photo("a b/ü.png")
    (source,) = find(photo.as_uri())
    assert (source.name, source.path, source.local) == (photo.as_uri(), photo, True)
    assert is_single([photo.as_uri()], [source])
    assert [source.path for source in find((tmp_path / "a b").as_uri())] == [photo]
    for wrong in ("file://server/photo.jpg", "file://[/photo.jpg", "file:"):
        with pytest.raises(InputError, match="not a file on this machine; write file:///folder"):
            find(wrong)


def test_addresses_with_non_ascii_letters_and_spaces(find, address, save_photo):
    host, _ = address
    photo = save_photo("served/a ü/photo 100%.png")
    for name in ("a ü/photo 100%.png", "a ü/photo 100%25.png", "a%20%C3%BC/photo%20100%25.png"):
        (source,) = find(f"{host}/{name}?größe=1")
        assert source.path.read_bytes() == photo.read_bytes()
    assert find(photo.as_uri())[0].path.read_bytes() == photo.read_bytes()
    assert _ascii_address("https://Bücher.example:8080/ä") == "https://xn--bcher-kva.example:8080/%C3%A4"


def test_one_photo_is_distinguished_from_a_folder_of_one(find, save_photo, tmp_path):
    photo = save_photo("a/1.png")

    def single(*names, **piped):
        return is_single([str(name) for name in names], find(*names, **piped))

    assert single(photo)
    assert single("http://example.org/1.png")
    assert single("-", piped=photo.read_bytes())
    assert not single(photo.parent)
    assert not single(photo.parent / "*")
    assert not single("-", piped=str(photo).encode())


def test_standard_input_holds_a_photo_or_a_list(find, save_photo):
    photo = save_photo()
    (piped,) = find("-", piped=photo.read_bytes())
    assert open_photo(piped.path).tobytes() == open_photo(photo).tobytes()
    assert not piped.local
    listed = find("-", piped=f"{photo}\n\n{photo.parent}\n".encode())
    assert [source.path for source in listed] == [photo, photo]
    for nonsense, message in ((b"", "is empty"), (b"\xff\xd8 cut", "neither a photo nor a list")):
        with pytest.raises(InputError, match=message):
            find("-", piped=nonsense)


def test_names_in_lists_may_contain_any_bytes(find, save_photo, tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xe9\n.png"
    os.link(save_photo(), odd)
    assert [os.fsencode(source.path) for source in find("-", piped=odd + b"\0" + odd)] == [odd, odd]


def test_photos_are_downloaded_when_they_are_needed(find, save_photo, address):
    url, _ = address
    (source,) = find(f"{url}/photo.png?size=large")
    photo = save_photo("served/photo.png")
    assert source.name == f"{url}/photo.png?size=large"
    assert source.path.read_bytes() == photo.read_bytes()
    assert source.relative == Path("photo.png")


def test_a_failed_download_is_reported_with_its_address(find, address, monkeypatch):
    url, folder = address
    (folder / "page.html").write_text("<h1>no photo</h1>")
    (folder / "huge.png").write_bytes(bytes(2000))
    monkeypatch.setattr("utils.data.photo_sources._MAX_BYTES", 1000)
    for name, message in {
        f"{url}/missing.jpg": "answers 404",
        f"{url}/page.html": "not an image",
        f"{url}/huge.png": "larger than",
        "http://127.0.0.1:9/x.jpg": "cannot be fetched",
        "http://[/x.jpg": "cannot be fetched",
    }.items():
        (source,) = find(name)
        with pytest.raises(ImageError) as raised:
            open_photo(source.path)
        assert str(raised.value).startswith(f"{name}: ")
        assert message in str(raised.value)


def test_a_photo_in_a_data_address_is_read_and_errors_shorten_the_address(find, save_photo):
    photo = save_photo()
    (source,) = find(name := f"data:image/png;base64,{base64.b64encode(photo.read_bytes()).decode()}")
    assert open_photo(source.path).tobytes() == open_photo(photo).tobytes()
    assert is_single([name], [source])
    (damaged,) = find(name[:2000])
    with pytest.raises(ImageError) as raised:
        open_photo(damaged.path)
    assert len(str(raised.value)) < 300
    assert "\n" not in str(raised.value)


def test_patterns_skip_the_same_files_as_folders(find, save_photo, tmp_path):
    photo, thumbnail = save_photo("album/a.jpg"), save_photo("album/@eaDir/a.jpg/t.jpg")
    (tmp_path / "album" / "loop").symlink_to(tmp_path / "album", target_is_directory=True)
    assert [source.path for source in find(tmp_path / "album" / "**" / "*.jpg")] == [photo]
    assert [source.path for source in find(tmp_path / "album" / "@eaDir" / "**" / "t*.jpg")] == [thumbnail]


def test_a_piped_photo_with_damaged_metadata_is_read(find, shared):
    odd = shared / "field_cases" / "bigtext" / "generated.png"
    (piped,) = find("-", piped=odd.read_bytes())
    assert open_photo(piped.path).size == (224, 224)


def test_no_two_photos_share_a_result(find, save_photo, tmp_path):
    for name in ("a/1.png", "a/1.jpg", "a/deep/1.png", "b/1.png"):
        save_photo(name)
    paths = result_paths(find(tmp_path / "a", tmp_path / "b"), "out", ".png")
    assert [path.as_posix() for path in paths] == ["out/1.png", "out/1-2.png", "out/deep/1.png", "out/1-3.png"]
