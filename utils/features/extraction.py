"""The regions of a dataset's photos, extracted before they are used."""

import time

from utils.data.images import find_unreadable
from utils.errors import InputError, first_lines
from utils.runtime.hardware import matmul_rate


def leave_out_unreadable(splits, say, progress):
    """The splits, lists of Photo, without photos whose files cannot be read; says which."""
    bad = find_unreadable([photo.path for split in splits.values() for photo in split], progress)
    return _keep_readable(splits, bad, lambda photo: photo.path not in bad, say)


def cache_regions(cache, splits, say, progress):
    """Extract what is missing from a cache, and tell before and after.

    Args:
        cache: a RegionCache.
        splits: lists of Photo by split.
        say, progress: as for `train`.

    Returns:
        The splits without photos that cannot be read.
    """
    encoder = cache.encoder
    photos = [photo for split in splits.values() for photo in split]
    work = cache.plan(photos)
    bad = {}
    if work.photos:
        say(
            f"extracting {work.photos} photos with {encoder.name} ({encoder.precision}, "
            f"{encoder.operations / 1e9:.1f} GFLOP a photo) to {cache.folder}: about {work.bytes / 1e6:.0f} MB, "
            f"{work.seconds / 60:.1f} minutes"
        )
        start = time.perf_counter()
        bad = cache.fill(photos, progress)
        rate = work.photos / (time.perf_counter() - start)
        share = rate * encoder.operations / matmul_rate("float32")
        say(
            f"{rate:.1f} photos/s, {rate * encoder.operations / 1e9:.0f} GFLOP/s: {share:.0%} of this machine's "
            f"float32 matrix products; {cache.bytes_per_photo() / 1000:.1f} KB a photo"
        )
    return _keep_readable(splits, bad, lambda photo: photo in cache, say)


def _keep_readable(splits, bad, readable, say):
    """The splits' photos that are `readable`; tells of those that are `bad`, a dict of ImageError."""
    if bad:
        count = sum(len(photos) for photos in splits.values())
        say(f"{len(bad)} of {count} photos cannot be read and are skipped:")
        for line in first_lines(bad.values()):
            say(f"  {line}")
    kept = {split: [photo for photo in photos if readable(photo)] for split, photos in splits.items()}
    for split, photos in kept.items():
        if not photos:
            raise InputError(f"no photo of split {split} can be read")
    return kept
