import errno
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils import console, files
from utils.errors import ImageWarning, InputError, shorten

ROOT = Path(__file__).resolve().parents[2]


def run_process(code, **options):
    """Run `console.run` on a function `main` in a new process. Return (status, standard output, standard error)."""
    code = f"import sys, os\nfrom utils import console\ndef main():\n    {code}\nconsole.run(main)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, timeout=60, **options)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out.csv"), "error: out.csv: No space left on device"),
        (OSError("no such\ndevice"), "error: no such device"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates not allowed"), "error: 'utf-8' codec can't encode"),
        (InputError("two\nlines\x1b[2J"), r"error: two\nlines\x1b[2J"),
    ],
)
def test_errors_of_the_system_end_in_one_line(command, error, line):
    def main():
        raise error

    status, _, told = command(SimpleNamespace(main=main, __name__="script"))
    assert status == 2
    assert told.startswith(line)
    assert told.count("\n") == 1


def test_errors_of_the_program_show_where_they_come_from():
    with pytest.raises(ZeroDivisionError):
        console.run(lambda: 1 / 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("code", ["print('a')", "console.say('a')", "sys.stdout.write('a' * 10**6)"])
def test_a_full_disk_as_output_is_one_line(code):
    with open("/dev/full", "w") as full:
        status, told = run_process(code, stdout=full)
    assert (status, told) == (2, "error: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_for_messages_does_not_end_the_work():
    code = (
        "from utils import console\n"
        "def main():\n"
        "    for _ in console.progress(iterable='ab'): console.warn('x')\n"
        "    print('done')\n"
        "console.run(main)"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=full, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"done\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs streams that can be closed")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_process_without_a_stream_works(number):
    status, told = run_process(
        "print(len(sys.stdin.read()), file=sys.stderr)",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.close(number),
    )
    assert status == 0
    assert told == ("" if number == 2 else "0\n")


def test_flags_may_have_hyphens_and_a_typing_error_gets_a_suggestion(capsys):
    parser = console.Parser("")
    parser.add_argument("--image_path")
    parser.add_argument("photos", nargs="*")
    assert parser.parse_args(["--image-path", "my-photo.jpg"]).image_path == "my-photo.jpg"
    assert parser.parse_args(["--image-path=my-photo.jpg"]).image_path == "my-photo.jpg"
    assert parser.parse_args(["--", "--image-path"]).photos == ["--image-path"]
    with pytest.raises(SystemExit):
        parser.parse_args(["--imge_path", "a.jpg"])
    assert "did you mean --image_path?" in capsys.readouterr().err


def test_names_that_a_terminal_cannot_show_are_escaped(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    with open(tmp_path / "out", "wb") as output:
        status, _ = run_process(r"print('\"é\udcff😀\"')", stdout=output, env=environment)
    assert status == 0
    text = (tmp_path / "out").read_text()
    assert text == '"\\u00e9\\udcff\\ud83d\\ude00"\n'
    assert json.loads(text) == "é\udcff😀"  # JSON stays valid


def test_names_that_are_not_utf_8_are_escaped_in_files(tmp_path):
    with console.open_output(tmp_path / "out.csv") as stream:
        stream.write("é\udcff")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "é\\udcff"
    console.write_json(tmp_path / "out.json", "\udcff")
    assert json.loads((tmp_path / "out.json").read_text()) == "\udcff"


def test_a_photo_that_is_read_with_loss_is_a_warning_of_one_line(command):
    def main():
        warnings.warn(ImageWarning("cut.jpg: the end is missing"), stacklevel=1)

    assert command(SimpleNamespace(main=main, __name__="script"))[2] == "warning: cut.jpg: the end is missing\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_table_that_the_disk_does_not_take_is_named():
    with (
        pytest.raises(InputError, match=r"^/dev/full: cannot be written \(No space left on device\)$"),
        console.open_output("/dev/full") as stream,
    ):
        stream.write("a")
    with pytest.raises(InputError, match="/dev/full: cannot be written"):
        console.write_json(Path("/dev/full"), {})
    assert not os.path.isfile("/dev/full")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("former")
    with (
        pytest.raises(InputError, match=r"scores.json: cannot be written \(disk full\); make room$"),
        files.replacing(path, "make room") as temporary,
    ):
        temporary.write_text("hal")
        raise OSError("disk full")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as temporary:
        temporary.write_text("hal")
        raise KeyboardInterrupt
    assert path.read_text() == "former"
    with files.replacing(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "語" * 83 + ".png"])
def test_a_file_with_the_longest_possible_name_is_written(tmp_path, name):
    with files.replacing(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_link_to_a_file_stays_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with files.replacing(tmp_path / "link") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "whole"


@pytest.mark.parametrize("look", [files.exists, files.is_dir, files.is_file, files.make_folder])
@pytest.mark.parametrize("path", ["x" * 5000, "a/" * 3000, "zero\0byte"], ids=["long", "deep", "zero"])
def test_a_path_that_cannot_be_is_one_short_line(look, path):
    with pytest.raises(InputError) as raised:
        look(Path(path))
    assert len(str(raised.value)) < 250
    assert "\n" not in str(raised.value)


def test_files_and_folders_are_told_apart(tmp_path):
    (tmp_path / "file").write_text("")
    assert [files.exists(tmp_path), files.is_dir(tmp_path), files.is_file(tmp_path)] == [True, True, False]
    assert [files.exists(tmp_path / "file" / "below"), files.is_file(tmp_path / "file")] == [False, True]


def test_no_folder_for_temporary_files_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "nowhere")])
    for needs_one in (files.temporary_folder("captions-").__enter__, console.import_keras):
        with pytest.raises(InputError, match="set TMPDIR to another folder"):
            needs_one()


def test_long_names_are_cut():
    assert shorten("photo.jpg") == "photo.jpg"
    assert len(shorten("data:" + "a" * 10_000)) < 150
