"""Compute the regions of a dataset's photos, write them to the cache, and report to the user."""

import time
from concurrent.futures import ThreadPoolExecutor

from utils.data.images import open_photo
from utils.errors import ImageError, InputError, first_lines


def leave_out_unreadable(splits, reporter):
    """Read all photos of a dataset, report those that cannot be read, and leave them out.

    Args:
        splits: a dict from the name of each split to its list of Photo.
        reporter: a Reporter, which shows lines of text and progress to the user.

    Returns:
        A dict like `splits` without the photos that cannot be read.

    Raises:
        InputError: a split has no readable photo.
    """
    photos, bad = [photo for split in splits.values() for photo in split], {}

    def check(photo):
        try:
            open_photo(photo.path, at_least=1)  # decoded at the smallest size
        except ImageError as error:
            bad[photo.path] = error

    with ThreadPoolExecutor() as pool, reporter.progress(total=len(photos), unit="photo", desc="reading") as bar:
        for _ in pool.map(check, photos):
            bar.update()
    return _keep_readable(splits, bad, lambda photo: photo.path not in bad, reporter)


def cache_regions(cache, splits, reporter):
    """Compute the regions of photos that are not in a cache, and write them to it. Disk space and speed are reported.

    Args:
        cache: a RegionCache.
        splits: a dict from the name of each split to its list of Photo.
        reporter: a Reporter, which shows lines of text and progress to the user.

    Returns:
        A dict like `splits` without the photos that cannot be read.

    Raises:
        InputError: the cache cannot be written, or a split has no readable photo.
    """
    encoder = cache.encoder
    photos = [photo for split in splits.values() for photo in split]
    work = cache.plan(photos)
    bad = {}
    if work.photos:
        reporter.say(
            f"extracting regions of {work.photos} photos with {encoder.name} ({encoder.precision}, "
            f"{encoder.operations / 1e9:.1f} GFLOP per photo) to {cache.folder}: about {work.bytes / 1e6:.0f} MB, "
            f"{work.seconds / 60:.1f} minutes"
        )
        start = time.perf_counter()
        bad = cache.fill(photos, reporter.progress)
        rate = work.photos / (time.perf_counter() - start)
        reporter.say(
            f"{rate:.1f} photos/s, {rate * encoder.operations / 1e9:.0f} GFLOP/s; "
            f"{cache.bytes_per_photo() / 1000:.1f} KB per photo"
        )
    return _keep_readable(splits, bad, lambda photo: photo in cache, reporter)


def _keep_readable(splits, bad, readable, reporter):
    """Report photos that cannot be read, and leave them out.

    Args:
        splits: a dict from the name of each split to its list of Photo.
        bad: a dict from the id or path of each photo that cannot be read to its ImageError.
        readable: a function that takes a Photo and returns True if the photo can be read.
        reporter: a Reporter, which shows lines of text to the user.

    Returns:
        A dict like `splits` without the photos that cannot be read.

    Raises:
        InputError: a split has no readable photo.
    """
    if bad:
        count = sum(len(photos) for photos in splits.values())
        reporter.say(f"{len(bad)} of {count} photos cannot be read and are skipped:")
        reporter.say(*(f"  {line}" for line in first_lines(bad.values())))
    kept = {split: [photo for photo in photos if readable(photo)] for split, photos in splits.items()}
    for split, photos in kept.items():
        if not photos:
            raise InputError(f"no photo of split {split} can be read; replace the photos named above")
    return kept
