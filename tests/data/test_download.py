"""Download files from a local server that loses connections, sends wrong data and refuses requests."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest

from utils.data.fetch.download import Remote, fetch
from utils.errors import InputError

DATA = bytes(range(256)) * 4000
SIZE = len(DATA)
SHA256 = "sha256:" + hashlib.sha256(DATA).hexdigest()
MD5 = "md5:" + hashlib.md5(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serve files with a fault. The first part of an address is the name of the fault, such as "breaks"."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests = {"data.zip": DATA}, []
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        manner, _, name = self.path.strip("/").partition("/")
        asked = self.headers.get("Range")
        self.server.requests.append((manner, asked))
        data = self.server.files[name]
        if manner.isdigit():
            self.send_error(int(manner))
            return
        if manner == "other":
            data = data[:-1] + b"!"
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and manner != "noresume" else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            first = start + 1 if manner == "shifted" else start
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        length = len(data) - start
        announced = {"short": length + 9, "long": length - 9}.get(manner, length)
        if manner != "nolength":
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        # "breaks" sends a third of the file per request, "never" only the first bytes.
        part = {"breaks": len(DATA) // 3, "never": 0 if start else 1000, "noresume": len(DATA)}.get(manner, length)
        self.wfile.write(data[start : start + part])


@pytest.fixture
def server(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def get(server, folder, *manners, size=SIZE, digest=SHA256, known=None):
    mirrors = [f"{server.address}/{manner}/data.zip" for manner in manners]
    return fetch(Remote("data.zip", mirrors, size, digest), folder, known, pause=0)


@pytest.mark.parametrize("digest", [SHA256, MD5])
def test_a_file_is_fetched_and_checked(server, tmp_path, digest):
    assert get(server, tmp_path, "good", digest=digest) == (tmp_path / "data.zip", len(DATA), SHA256)
    assert (tmp_path / "data.zip").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]
    get(server, tmp_path, "good")
    assert len(server.requests) == 1  # the existing file is not fetched again


def test_a_lost_connection_is_resumed(server, tmp_path):
    get(server, tmp_path, "breaks")
    assert (tmp_path / "data.zip").read_bytes() == DATA
    assert server.requests[0] == ("breaks", None)
    starts = [int(asked.strip("bytes=-")) for _, asked in server.requests[1:]]
    # At most the last block of each part was lost.
    assert starts[0] > len(DATA) // 4
    assert all(second - first > len(DATA) // 4 for first, second in pairwise(starts[:-1]))


def test_the_download_of_an_earlier_run_is_continued(server, tmp_path):
    (tmp_path / "data.zip.partial").write_bytes(DATA[:5000])
    get(server, tmp_path, "good")
    assert server.requests == [("good", "bytes=5000-")]
    assert (tmp_path / "data.zip").read_bytes() == DATA


def test_a_complete_partial_file_is_not_fetched_again(server, tmp_path):
    (tmp_path / "data.zip.partial").write_bytes(DATA)
    get(server, tmp_path, "good")
    assert (tmp_path / "data.zip").read_bytes() == DATA


def test_with_a_server_that_cannot_resume_the_file_is_fetched_from_the_start(server, tmp_path):
    (tmp_path / "data.zip.partial").write_bytes(b"x" * 5000)
    get(server, tmp_path, "noresume")
    assert (tmp_path / "data.zip").read_bytes() == DATA


def test_a_file_without_a_length_is_checked_by_its_hash(server, tmp_path):
    get(server, tmp_path, "nolength", size=None)
    assert (tmp_path / "data.zip").read_bytes() == DATA


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("404", "answers 404"),
        ("403", "answers 403"),
        ("503", "does not answer"),
        ("never", "loses the connection"),
        ("other", "its hash differs"),
        ("short", "has a file of 1024009 bytes, not 1024000"),
        ("long", "has a file of 1023991 bytes, not 1024000"),
    ],
)
def test_a_bad_mirror_is_reported_and_the_next_one_is_tried(server, tmp_path, manner, reason):
    with pytest.raises(InputError, match=f"/{manner}/data.zip .*{reason}.* put it into {tmp_path} and run again"):
        get(server, tmp_path, manner)
    assert not (tmp_path / "data.zip").exists()
    get(server, tmp_path, manner, "good")
    assert (tmp_path / "data.zip").read_bytes() == DATA


def test_another_part_of_the_file_than_requested_is_rejected(server, tmp_path):
    (tmp_path / "data.zip.partial").write_bytes(DATA[:5000])
    get(server, tmp_path, "shifted", "good")
    assert (tmp_path / "data.zip").read_bytes() == DATA


def test_without_a_server_the_error_says_so(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="does not answer"):
        get(server, tmp_path, "good")


def test_an_unpublished_hash_is_stored_and_compared(server, tmp_path):
    path, size, digest = get(server, tmp_path, "good", size=None, digest=None)
    path.unlink()
    with pytest.raises(InputError, match="its hash differs"):
        get(server, tmp_path, "other", size=None, digest=None, known=(size, digest))
    get(server, tmp_path, "other", "good", size=None, digest=None, known=(size, digest))


def test_another_file_of_the_same_name_is_not_changed(server, tmp_path):
    (tmp_path / "data.zip").write_text("mine")
    with pytest.raises(InputError, match="not the published file"):
        get(server, tmp_path, "good")
    assert (tmp_path / "data.zip").read_text() == "mine"


def test_a_full_disk_is_a_one_line_error(server, tmp_path):
    (tmp_path / "data.zip.partial").mkdir()  # makes writing fail, as a full disk does
    with pytest.raises(InputError, match=r"cannot be written .*free some disk space and run again"):
        get(server, tmp_path, "good")
