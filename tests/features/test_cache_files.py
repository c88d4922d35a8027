"""Let eight processes share the work at the same time, and merge their results."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.features.shard_worker import BlockEncoder, photos_in
from utils.features.cache import RegionCache
from utils.features.cache_files import file_version

COUNT = 8


def run_parts(count, task, *arguments):
    """Run `count` workers at once and return a list of what each wrote to standard error.

    Args:
        count: the number of workers.
        task: "cache" or "caption", as for `main` in shard_worker.py.
        arguments: further arguments. `{k}` in an argument becomes the worker's number.
    """
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.features.shard_worker", task, f"{k}/{count}"]
            + [str(each).format(k=k) for each in arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for k in range(1, count + 1)
    ]  # fmt: skip
    assert all(worker.stdout.readline() for worker in workers)
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * count, errors
    return errors


@pytest.fixture
def folder(tmp_path, save_photo):
    """Make a folder of twenty photos. Twenty is not a multiple of eight."""
    for number in range(20):
        save_photo(f"photos/{number:02d}.png", seed=number)
    return tmp_path / "photos"


@pytest.mark.slow
def test_regions_of_eight_processes_equal_those_of_one(folder, tmp_path, monkeypatch):
    """The workers use one shared folder, and then eight folders whose files are copied to one."""
    run_parts(COUNT, "cache", folder, tmp_path / "shared", tmp_path / "own{k}")
    photos, encoder = photos_in(folder), BlockEncoder()
    alone = RegionCache(tmp_path / "alone", "test", encoder)
    alone.fill(photos)
    merged = RegionCache(tmp_path / "merged", "test", encoder)
    merged.folder.mkdir(parents=True)
    for shard in tmp_path.glob("own*/*/*.zip"):
        shutil.copy(shard, merged.folder)
    for photo in photos:
        os.utime(photo.path, (1, 1))  # copies on another machine have another time
    reads = []

    def counted(path):
        reads.append(path)
        return file_version(path)

    monkeypatch.setattr("utils.features.cache_files.file_version", counted)
    for name in ("shared", "merged"):
        cache = RegionCache(tmp_path / name, "test", encoder)
        assert len(cache) == len(photos)
        assert cache.plan(photos).photos == 0
        assert cache.fill(photos) == {}
        assert len(list(cache.folder.glob("*.zip"))) == COUNT
        assert not list(cache.folder.glob("*.partial"))
        for photo in photos:
            assert np.array_equal(cache[photo.id], alone[photo.id])
    # A photo with another time is compared by its content, but only once.
    assert len(reads) == 2 * len(photos)
    # A photo with the same size and other content is extracted again.
    data = bytearray(photos[0].path.read_bytes())
    data[-20] ^= 1
    photos[0].path.write_bytes(data)
    assert cache.plan(photos).photos == 1


@pytest.mark.slow
def test_concatenated_captions_of_eight_processes_equal_those_of_one(folder, tmp_path):
    (folder / "07.png").write_text("no photo")
    errors = run_parts(COUNT, "caption", "--image_path", folder, "--csv", tmp_path / "part{k}.csv")
    assert [number for number, error in enumerate(errors, 1) if "photos could not be read" in error] == [4]
    run_parts(1, "caption", "--image_path", folder, "--csv", tmp_path / "alone.csv")
    parts = [(tmp_path / f"part{k}.csv").read_text() for k in range(1, COUNT + 1)]
    assert "".join(parts) == (tmp_path / "alone.csv").read_text()
    assert len("".join(parts).splitlines()) == 1 + 19
