"""Run `python prepare.py` with a local server, whose archives have the layouts of the real ones."""

import io
import json
import zipfile
from functools import partial

import pytest
from PIL import Image

import prepare
from tests.data.test_download import server  # noqa: F401
from utils.data.datasets import load_dataset
from utils.data.fetch.download import Remote
from utils.data.fetch.releases import RELEASES, Release
from utils.data.fetch.verify import verify


def jpeg(seed, mode="RGB"):
    buffer = io.BytesIO()
    Image.linear_gradient("L").rotate(seed).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def run(command):
    """Return a function that runs the command and returns (status, standard output, standard error)."""
    return partial(command, prepare)


@pytest.fixture
def flickr8k(server, monkeypatch):  # noqa: F811
    """Let the server send small versions of Flickr8k's two archives, with three photos. One of the photos is grey."""
    server.files["text.zip"] = zipped(
        {
            "Flickr8k.token.txt": "".join(f"{i}_a.jpg#{n}\tA dog {n} .\n" for i in range(3) for n in range(5)),
            "Flickr_8k.trainImages.txt": "0_a.jpg\n",
            "Flickr_8k.devImages.txt": "1_a.jpg\n",
            "Flickr_8k.testImages.txt": "2_a.jpg\n",
            "__MACOSX/._Flickr8k.token.txt": "x",
            "readme.txt": "not needed",
        }
    )
    photos = {f"Flicker8k_Dataset/{i}_a.jpg": jpeg(i, "L" if i == 2 else "RGB") for i in range(3)}
    server.files["photos.zip"] = zipped(photos | {"__MACOSX/Flicker8k_Dataset/._0_a.jpg": b"x"})
    monkeypatch.setitem(
        RELEASES,
        "flickr8k",
        (
            Release(remote(server, "text.zip", "404", "good"), ("*.token.txt", "*Images.txt"), "*.token.txt", 1, 1e-3),
            Release(remote(server, "photos.zip", "breaks"), ("*.jpg",), "*.jpg", 3, 1e-3),
        ),
    )
    monkeypatch.setattr("utils.data.fetch.download.time.sleep", lambda seconds: None)
    return server


def remote(server, name, *manners):  # noqa: F811
    return Remote(name, tuple(f"{server.address}/{manner}/{name}" for manner in manners), None, None)


def test_a_dataset_is_fetched_unpacked_and_verified(flickr8k, run, tmp_path):
    folder = tmp_path / "flickr8k"
    status, output, error = run("flickr8k", "--data_dir", folder, "--json", tmp_path / "report.json")
    assert status == 0, error
    assert "photos.zip: sha256:" in output
    assert "1 photos are grey" in output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["splits"]["test"] == {
        "listed": 1, "missing": 0, "damaged": 0, "grey": 1, "captions": 5, "captions_per_photo": {"5": 1},
        "words": 15, "in_vocabulary": 10 / 15,
    }  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == [
        "Flicker8k_Dataset", "Flickr8k.token.txt", "Flickr_8k.devImages.txt", "Flickr_8k.testImages.txt",
        "Flickr_8k.trainImages.txt", "downloads.json",
    ]  # fmt: skip
    assert len(load_dataset("flickr8k", folder).photos) == 3

    before = len(flickr8k.requests)
    status, output, _ = run("flickr8k", "--data_dir", folder)
    assert (status, len(flickr8k.requests)) == (0, before)
    assert "complete, nothing is fetched" in output


def test_a_missing_photo_is_fetched_again_and_the_others_are_kept(flickr8k, run, tmp_path):
    run("flickr8k", "--data_dir", tmp_path)
    photos = sorted((tmp_path / "Flicker8k_Dataset").iterdir())
    photos[0].unlink()
    photos[1].write_bytes(jpeg(77))
    status, output, _ = run("flickr8k", "--data_dir", tmp_path, "--verify")
    assert status == 1
    assert "1 photos are missing: 0_a.jpg" in output
    status, output, _ = run("flickr8k", "--data_dir", tmp_path)
    assert status == 0
    assert "1 files unpacked, 2 existed already" in output
    assert photos[1].read_bytes() == jpeg(77)


def test_an_archive_that_differs_from_the_first_download_is_refused(flickr8k, run, tmp_path):
    run("flickr8k", "--data_dir", tmp_path)
    next((tmp_path / "Flicker8k_Dataset").iterdir()).unlink()
    flickr8k.files["photos.zip"] = zipped({f"{i}_a.jpg": jpeg(i) for i in range(3, 6)})
    status, _, error = run("flickr8k", "--data_dir", tmp_path)
    assert status == 2
    assert error.splitlines()[-1].startswith("error: photos.zip cannot be fetched: ")


def test_an_archive_that_the_user_puts_there_is_used_and_kept(flickr8k, run, tmp_path):
    (tmp_path / "photos.zip").write_bytes(flickr8k.files["photos.zip"])
    status, _, error = run("flickr8k", "--data_dir", tmp_path)
    assert status == 0, error
    assert not [manner for manner, _ in flickr8k.requests if manner == "breaks"]
    assert (tmp_path / "photos.zip").exists()


def test_flickr30k_prints_instructions_and_uses_the_users_archive(server, run, tmp_path, monkeypatch):  # noqa: F811
    images = [
        {"filename": f"{i}.jpg", "split": split, "sentences": [{"raw": "A dog ."}]}
        for i, split in enumerate(("train", "val", "test"))
    ]
    server.files["captions.zip"] = zipped(
        {"dataset_flickr30k.json": json.dumps({"images": images, "dataset": "flickr30k"}), "dataset_coco.json": "{}"}
    )
    release = Release(
        remote(server, "captions.zip", "good"), ("*dataset_flickr30k.json",), "dataset_flickr30k.json", 1, 1e-3
    )
    monkeypatch.setitem(RELEASES, "flickr30k", (release,))
    status, output, error = run("flickr30k", "--data_dir", tmp_path)
    assert status == 2
    assert f"and put the archive.zip into {tmp_path}." in output
    assert error.splitlines()[-1].endswith("follow the instructions above")
    # Kaggle's archive: a folder in a folder of the same name, and captions in another layout.
    photos = {f"flickr30k_images/flickr30k_images/{i}.jpg": jpeg(i) for i in range(3)}
    results = "image_name| comment_number| comment\n0.jpg| 0| A dog .\n"
    (tmp_path / "archive.zip").write_bytes(zipped(photos | {"flickr30k_images/results.csv": results}))
    status, output, error = run("flickr30k", "--data_dir", tmp_path)
    assert status == 0, error
    assert "archive.zip: 4 files unpacked" in output
    assert "not read, because another caption file comes first" in output


def test_a_missing_optional_archive_is_reported(flickr8k, run, tmp_path, monkeypatch):
    release = Release(remote(flickr8k, "gone.zip", "404"), ("*",), "gone.json", 1, 1e-3, optional=True)
    flickr8k.files["gone.zip"] = b""
    monkeypatch.setitem(RELEASES, "flickr8k", (release, *RELEASES["flickr8k"]))
    status, output, _ = run("flickr8k", "--data_dir", tmp_path)
    assert status == 0
    assert "skipped, because the dataset is usable without it: gone.zip cannot be fetched" in output


def test_too_little_disk_space_is_an_error_before_the_first_byte(flickr8k, run, tmp_path, monkeypatch):
    release = RELEASES["flickr8k"][1]
    monkeypatch.setitem(RELEASES, "flickr8k", (release._replace(gigabytes=1e9),))
    status, _, error = run("flickr8k", "--data_dir", tmp_path)
    assert status == 2
    assert "are needed" in error
    assert not flickr8k.requests


def test_the_report_finds_all_faults(tmp_path):
    for name in ("a", "b", "c", "d", "spare"):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(1 if name in "ab" else ord(name[0])))
    (tmp_path / "c.jpg").write_bytes(jpeg(9)[:700])
    rows = ["a.jpg,A dog,train", "a.jpg,A big dog,train", "b.jpg,A dog,val", "c.jpg,A cat,val", "d.jpg,A cat,train"]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption,split", *rows, "gone.jpg,A,test", "x,A,test"]))
    report = verify(load_dataset("custom", tmp_path), min_word_count=1)
    assert report["duplicates"] == [[["train", "a.jpg"], ["val", "b.jpg"]]]
    assert list(report["damaged"]) == ["c.jpg"]
    assert report["missing"] == ["gone.jpg", "x"]
    assert [path.rsplit("/", 1)[-1] for path in report["without_caption"]] == ["spare.jpg"]
    assert report["splits"]["train"]["captions_per_photo"] == {1: 1, 2: 1}
    assert report["splits"]["val"]["in_vocabulary"] == 1
    assert report["vocabulary"]["words"] == 4


def test_damaged_photos_are_listed_one_per_line_up_to_ten(tmp_path, run):
    names = [f"{number:02d}.jpg" for number in range(14)]
    for name in names:
        (tmp_path / name).write_bytes(b"no photo" if name > "01.jpg" else jpeg(1))
    rows = "".join(f"{name},A dog,{'val' if name == '00.jpg' else 'train'}\n" for name in names)
    (tmp_path / "captions.csv").write_text("image,caption,split\n" + rows)
    status, output, _ = run("custom", "--data_dir", tmp_path, "--verify")
    assert status == 1
    lines = output.splitlines()
    first = lines.index("12 photos are damaged and will be skipped:") + 1
    assert [line.split(": ")[0] for line in lines[first : first + 10]] == [f"  {tmp_path / n}" for n in names[2:12]]
    assert lines[first + 10] == "  … and 2 more"


def test_a_photo_beyond_pillows_own_limit_is_verified_as_it_is_read(tmp_path, save_photo, monkeypatch):
    save_photo("1.jpg")
    (tmp_path / "captions.csv").write_text("image,caption,split\n1.jpg,A dog,train\n")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert verify(load_dataset("custom", tmp_path))["damaged"] == {}


@pytest.mark.slow
def test_the_known_faults_of_the_real_datasets(shared, run, tmp_path):
    status, output, _ = run("flickr8k", "--data_dir", shared / "flickr8k", "--verify")
    assert status == 1  # the test photos are missing
    assert "92 captioned images are in no split" in output
    assert "1 names in the captions are not names of photos: 2258277193_586949ec62.jpg.1" in output
    assert "the splits have their published sizes" in output
    status, output, _ = run("coco", "--data_dir", shared / "coco", "--verify", "--json", tmp_path / "coco.json")
    assert status == 1
    report = json.loads((tmp_path / "coco.json").read_text())
    assert report["splits"]["val"]["captions_per_photo"] == {"5": 4987, "6": 12, "7": 1}
    assert len(report["missing"]) == 4960
