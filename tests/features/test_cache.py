import errno
import os
import signal
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from tests.features import caching_worker
from tests.fresh_process import FreshProcess
from utils.errors import ImageError, InputError
from utils.features import cache as cache_module
from utils.features.cache import RegionCache
from utils.features.cache_files import pack, restore, unpack
from utils.features.encoders import Encoder
from utils.features.extraction import cache_regions
from utils.progress import Reporter


@pytest.fixture
def photos(tmp_path, save_photo):
    paths = [save_photo(f"photos/{number:02d}.png", seed=number) for number in range(12)]
    return [SimpleNamespace(id=path.name, path=path) for path in paths]


def start_worker(tmp_path, *last):
    return FreshProcess(caching_worker.main, tmp_path / "cache", tmp_path / "photos", *last)


def assert_complete(cache, photos, encoder, tmp_path):
    reference = RegionCache(tmp_path / "reference", "test", encoder)
    reference.fill(photos)
    assert len(cache) == len(photos)
    for photo in photos:
        assert np.array_equal(cache[photo.id], reference[photo.id])
    assert not list(cache.folder.glob("*.partial"))


def test_eight_bits_are_within_half_a_step():
    regions = np.maximum(np.random.default_rng(0).normal(size=(9, 5)), 0).astype("float32")
    error = np.abs(restore(unpack(pack(regions)), 5) - regions)
    assert error.max() <= regions.max() / 510 * 1.001
    assert (restore(unpack(pack(regions)), 5)[regions == 0] == 0).all()


def test_regions_of_zeros_stay_zeros():
    assert (restore(unpack(pack(np.zeros((4, 3), "float32"))), 3) == 0).all()


def test_a_cache_gives_what_the_encoder_gives(tmp_path, tiny_encoder, photos):
    from utils.data.images import load_pixels

    cache = RegionCache(tmp_path, "test", tiny_encoder)
    assert cache.plan(photos).photos == 12
    assert cache.fill(photos) == {}
    pixels = np.stack([load_pixels(photo.path, 32) for photo in photos])
    for photo, regions in zip(photos, tiny_encoder.encode(pixels)):
        np.testing.assert_allclose(cache[photo.id], regions, atol=regions.max() / 500)


def test_a_finished_photo_is_not_extracted_again(tmp_path, tiny_encoder, photos, monkeypatch):
    RegionCache(tmp_path, "test", tiny_encoder).fill(photos[:8])
    seen = []
    original = cache_module.encode_files
    monkeypatch.setattr(
        cache_module, "encode_files", lambda e, p, **options: seen.extend(p) or original(e, p, **options)
    )
    cache = RegionCache(tmp_path, "test", tiny_encoder)
    cache.fill(photos)
    assert [photo.id for photo in seen] == [photo.id for photo in photos[8:]]
    assert len(cache) == 12


def test_another_encoder_does_not_use_the_cache(tmp_path, tiny_encoder, photos):
    RegionCache(tmp_path, "test", tiny_encoder).fill(photos)
    other = Encoder("vgg16", "random", image_size=32, layer="block1_pool", seed=1)
    assert len(RegionCache(tmp_path, "test", other)) == 0


def test_a_photo_that_was_replaced_is_extracted_again(tmp_path, tiny_encoder, photos):
    cache = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    cache.fill(photos)
    old = cache["02.png"]
    photos[2].path.write_bytes(photos[5].path.read_bytes())
    for again in (cache, RegionCache(tmp_path / "cache", "test", tiny_encoder)):
        again.fill(photos)
        assert np.array_equal(again["02.png"], again["05.png"])
        assert not np.array_equal(again["02.png"], old)
    assert RegionCache(tmp_path / "cache", "test", tiny_encoder).plan(photos).photos == 0


def edit_in_place(path):
    """Change a photo, but keep its size and restore its modification time, as some editors do."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_photos_changed_in_place_with_size_and_time_kept_are_extracted_again(tmp_path, tiny_encoder, save_photo):
    paths = [save_photo(f"photos/{number}.bmp", seed=number) for number in range(3)]
    photos = [SimpleNamespace(id=path.name, path=path) for path in paths]
    cache = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    cache.fill(photos)
    for path in paths:
        edit_in_place(path)
    for again in (cache, RegionCache(tmp_path / "cache", "test", tiny_encoder)):
        assert again.fill(photos) == {}
        assert all(photo in again for photo in photos)
    assert_complete(again, photos, tiny_encoder, tmp_path)
    assert len(list(cache.folder.glob("*.zip"))) == 2


def test_a_cache_of_earlier_versions_is_used_where_the_photo_is_the_same(tmp_path, tiny_encoder, photos, monkeypatch):
    """Earlier versions of the program stored only the size, the modification time and the checksum of a photo."""
    today = cache_module.cache_files.file_version
    monkeypatch.setattr(cache_module.cache_files, "file_version", lambda path: b" ".join(today(path).split()[:3]))
    RegionCache(tmp_path / "cache", "test", tiny_encoder).fill(photos)
    monkeypatch.undo()
    edit_in_place(photos[2].path)
    cache = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    assert [photo.id for photo in photos if photo not in cache] == ["02.png"]


def test_without_ctime_both_ends_of_a_photo_are_compared(save_photo):
    photo = save_photo("photo.bmp", size=(100, 100))
    before = cache_module.cache_files._ends(photo, photo.stat().st_size)
    for place in (60, -60):
        data = bytearray(photo.read_bytes())
        data[place] ^= 1
        photo.write_bytes(data)
        after = cache_module.cache_files._ends(photo, len(data))
        assert after != before
        before = after


def test_bad_photos_are_returned_and_the_others_kept(tmp_path, tiny_encoder, photos):
    photos[3].path.write_text("no photo")
    photos[7].path.unlink()
    cache = RegionCache(tmp_path, "test", tiny_encoder)
    bad = cache.fill(photos)
    assert list(bad) == ["03.png", "07.png"]
    assert all(isinstance(error, ImageError) for error in bad.values())
    assert len(cache) == 10


@pytest.mark.slow
def test_after_a_kill_the_next_run_gives_the_same_cache(tmp_path, tiny_encoder, photos):
    status, _, error = start_worker(tmp_path, 6).finish()
    assert status == -signal.SIGKILL, error
    cache = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    assert len(cache) == 4
    assert len(list(cache.folder.glob("*.partial"))) == 1
    before = {path.name: path.stat().st_mtime_ns for path in cache.folder.glob("*.zip")}
    for path in cache.folder.glob("*.partial"):
        os.utime(path, (0, 0))  # as if some minutes had passed
    cache.fill(photos)
    assert_complete(cache, photos, tiny_encoder, tmp_path)
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in cache.folder.glob("*.zip")}.items()


@pytest.mark.slow
def test_two_processes_fill_one_cache(tmp_path, tiny_encoder, photos):
    workers = [start_worker(tmp_path) for _ in range(2)]
    assert [worker.finish()[0] for worker in workers] == [0, 0]
    cache = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    assert_complete(cache, photos, tiny_encoder, tmp_path)
    assert sum(len(zipfile.ZipFile(path).namelist()) for path in cache.folder.glob("*.zip")) == 12


def test_a_full_disk_is_a_one_line_error_and_loses_nothing(tmp_path, tiny_encoder, photos, monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD_PHOTOS", 4)
    cache = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    real, calls = zipfile.ZipFile.writestr, []

    def write(self, *arguments):
        calls.append(1)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *arguments)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", write)
    with pytest.raises(InputError, match="the disk is full; the regions of 4 photos are kept"):
        cache.fill(photos)
    monkeypatch.setattr(zipfile.ZipFile, "writestr", real)
    cache.fill(photos)
    assert_complete(cache, photos, tiny_encoder, tmp_path)


def test_too_little_disk_space_is_an_error_before_the_work(tmp_path, tiny_encoder, photos, monkeypatch):
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="free some disk space or choose another --cache_dir"):
        RegionCache(tmp_path, "test", tiny_encoder).plan(photos)


def test_an_incomplete_shard_is_extracted_again(tmp_path, tiny_encoder, photos):
    cache = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    cache.fill(photos)
    (shard,) = cache.folder.glob("*.zip")
    shard.write_bytes(shard.read_bytes()[:-100])
    again = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    again.fill(photos)
    assert_complete(again, photos, tiny_encoder, tmp_path)


def test_combined_datasets_use_the_caches_of_each(tmp_path, tiny_encoder, photos):
    RegionCache(tmp_path, "one", tiny_encoder).fill(photos[:6])
    RegionCache(tmp_path, "two", tiny_encoder).fill([replaced(photo, photos[11].path) for photo in photos[:3]])
    both = RegionCache(tmp_path, "one+two", tiny_encoder)
    table = [SimpleNamespace(id=f"one/{p.id}", path=p.path) for p in photos]
    table += [SimpleNamespace(id=f"two/{p.id}", path=photos[11].path) for p in photos[:3]]
    assert both.plan(table).photos == 6
    both.fill(table)
    assert len(RegionCache(tmp_path, "one", tiny_encoder)) == 12
    assert np.array_equal(both["two/00.png"], both["one/11.png"])
    assert not np.array_equal(both["two/00.png"], both["one/00.png"])


def replaced(photo, path):
    return SimpleNamespace(id=photo.id, path=path)


def test_photos_that_cannot_be_read_are_listed_up_to_ten(tmp_path, tiny_encoder, photos):
    for photo in photos[1:]:
        photo.path.write_bytes(b"no photo")
    lines = []
    reporter = Reporter(say=lambda *said: lines.extend(said))
    splits = cache_regions(RegionCache(tmp_path / "cache", "test", tiny_encoder), {"train": photos}, reporter)
    assert splits == {"train": photos[:1]}
    first = lines.index("11 of 12 photos cannot be read and are skipped:") + 1
    assert [line.split(": ")[0] for line in lines[first:]] == [f"  {p.path}" for p in photos[1:11]] + ["  … and 1 more"]


def test_a_damaged_shard_is_named(tmp_path, tiny_encoder, photos):
    cache = RegionCache(tmp_path / "cache", "test", tiny_encoder)
    cache.fill(photos)
    (shard,) = cache.folder.glob("*.zip")
    data = bytearray(shard.read_bytes())
    data[200] ^= 255
    shard.write_bytes(data)
    with pytest.raises(InputError, match=rf"{shard.name}: damaged; delete this file"):
        cache["00.png"]
    shard.unlink()
    with pytest.raises(InputError, match=rf"{shard.name}: cannot be read"):
        cache["00.png"]
