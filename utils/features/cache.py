"""Keep the regions of photos, the outputs of the encoder, in a cache on disk. So each photo is encoded only once.

A cache is a folder of zip archives, called shards. A shard has one compressed
file per photo, with the photo's regions in 8 bits per value. A shard is created
by an atomic rename and never changes. So neither a killed process nor a second
process that fills the same cache can damage it. Regions that are not in the
cache are computed at the next run.
"""

import errno
import hashlib
import json
import os
import shutil
import time
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from utils.data.images import load_pixels
from utils.errors import ImageError, InputError
from utils.features import cache_files
from utils.files import exists
from utils.progress import silent

# Photos in one shard: so many that a large dataset has few shards, so few that a killed process loses little work.
SHARD_PHOTOS = 256

# Photos in one batch of the encoder.
BATCH_PHOTOS = 16

# Bytes of decompressed regions that a cache keeps in memory, at 8 bits per value. This is enough for
# all photos of `shapes`, or of Flickr8k at 7 × 7 regions.
_HELD_BYTES = 256_000_000

# An unfinished shard that has not grown for so many seconds belongs to a killed process.
_STALE_SECONDS = 120

# The work that `RegionCache.fill` would do: the number of photos that are not in the cache, and estimates of the
# bytes that their regions need and of the seconds.
Work = namedtuple("Work", "photos bytes seconds")


def load_photo(photo, size):
    """Read the pixels of a photo, as input for an encoder.

    Args:
        photo: an object whose attribute `path` is a file, a PIL image or an array.
        size: width and height of the result in pixels.

    Returns:
        A uint8 array (size, size, 3), RGB.

    Raises:
        ImageError: the photo cannot be read.
    """
    return load_pixels(photo.path, size)


def encode_files(encoder, photos, batch_size=BATCH_PHOTOS, load=load_photo):
    """Compute the regions of photos in batches. The next batch is read while the encoder computes.

    Args:
        encoder: an Encoder.
        photos: a list of objects whose attribute `path` is a file, a PIL image or an array.
        batch_size: the number of photos in a batch.
        load: a function that takes one of these objects and a size, and returns a uint8 array (size, size, 3). It may
            raise ImageError.

    Yields:
        (photo, regions) for each photo in the order of the list, where `regions`
        is a float32 array (regions, channels); (photo, ImageError) if the photo
        cannot be read.
    """

    def read(photo):
        try:
            return load(photo, encoder.image_size)
        except ImageError as error:
            return error

    batches = [photos[i : i + batch_size] for i in range(0, len(photos), batch_size)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ahead = [pool.map(read, batch) for batch in batches[:1]]
        for number, batch in enumerate(batches):
            pixels = list(ahead.pop())
            ahead += [pool.map(read, following) for following in batches[number + 1 : number + 2]]
            good = [p for p in pixels if not isinstance(p, ImageError)]
            # All batches have the same size, so the encoder is compiled once.
            blank = np.zeros((encoder.image_size, encoder.image_size, 3), "uint8")
            regions = iter(encoder.encode(np.stack(good + [blank] * (batch_size - len(good)))) if good else ())
            for photo, result in zip(batch, pixels):
                yield photo, result if isinstance(result, ImageError) else next(regions)


def shard_of(photos, number, count):
    """Select the photos whose regions this machine computes, if several machines divide the photos.

    Every `count`th photo is selected, so that all machines take equally long.

    Args:
        photos: all photos, as a list.
        number: the number of this machine, from 1.
        count: the number of machines.

    Returns:
        A list of photos.
    """
    return photos[number - 1 :: count]


class RegionCache:
    """Store and read the regions that one encoder computes for the photos of a dataset.

    Each dataset has its own subfolder. So regions that were extracted for a
    single dataset are used again if the dataset is combined with others. To
    merge the caches of several machines, copy their files to one folder.

    Args:
        folder: the folder of all caches. Each cache is a subfolder.
        name: the name of the dataset; for several datasets, their names joined by "+". The id of each
            photo must then begin with the name of its dataset and a slash.
        encoder: an Encoder. A hash of its weights is part of the subfolder's
            name, so regions of another encoder are never used.
        load: a function that takes a photo and a size, and returns its pixels, a uint8 array (size, size, 3).

    Attributes:
        encoder: the Encoder.
        folder: the subfolder of the dataset; for several datasets, the folder of all caches.

    Example:
        cache = RegionCache("data/cache", "flickr8k", encoder)
        cache.fill(dataset.photos)
        regions = cache[dataset.photos[0].id]
    """

    def __init__(self, folder: str | Path, name: str, encoder: Any, load: Callable = load_photo) -> None:
        self.encoder, self._load = encoder, load
        names = name.split("+")
        suffix = f"{encoder.name}-{encoder.fingerprint[:12]}"
        self._folders = {f"{n}/" if len(names) > 1 else "": Path(folder) / f"{n}-{suffix}" for n in names}
        self.folder = Path(folder) if len(names) > 1 else self._folders[""]
        self._known = set()
        self._members = {}
        self._held, self._held_bytes = {}, 0  # a dict from a Member to decompressed regions, and their total size
        self._refresh()

    def __contains__(self, photo: Any) -> bool:
        """Return True if the cache has a photo's regions, computed from the current version of the photo's file.

        Args:
            photo: an object with the attributes `id` and `path`.
        """
        member = self._members.get(photo.id)
        current = member and cache_files.member_if_current(member, photo.path)
        if current:
            self._members[photo.id] = current
        return bool(current)

    def __getitem__(self, image_id: str) -> np.ndarray:
        """Read the regions of the photo with this id from the cache, as a float32 array (regions, channels)."""
        member = self._members[image_id]
        data = self._held.get(member)
        if data is None:
            data = cache_files.read(member)
            # Up to the limit, photos are kept in memory for good. Replacing them by later ones would not help, because
            # each epoch of training reads all photos in another order.
            if self._held_bytes + len(data) <= _HELD_BYTES:
                self._held[member] = data
                self._held_bytes += len(data)
        return cache_files.restore(data, self.encoder.channels)

    def stack(self, image_ids: Iterable[str]) -> np.ndarray:
        """Read the regions of photos by their ids. Returns a float32 array (photos, regions, channels)."""
        return np.stack([self[image_id] for image_id in image_ids])

    def means(self, image_ids: list[str], progress: Any = silent) -> np.ndarray:
        """Compute the mean of each photo's region vectors, for photos in the cache.

        Args:
            image_ids: ids of photos in the cache.
            progress: a function that takes the arguments of `tqdm` and returns a progress bar.

        Returns:
            A float32 array (photos, channels).
        """
        means = np.empty((len(image_ids), self.encoder.channels), "float32")
        with progress(total=len(image_ids), unit="photo", desc="mean regions", leave=False) as bar:
            for mean, image_id in zip(means, image_ids):
                mean[:] = self[image_id].mean(axis=0)
                bar.update()
        return means

    def contents(self, image_ids: Iterable[str]) -> list[tuple[str, str]]:
        """Describe the files from which the regions of photos in the cache were made.

        Returns:
            A list of pairs: image id, and a str of the file's size in bytes and the checksum of all its bytes.
        """
        parts = [(image_id, self._members[image_id].version.decode().split()) for image_id in image_ids]
        return [(image_id, f"{size} {checksum}") for image_id, (size, _, checksum, *_) in parts]

    def __len__(self) -> int:
        """Return the number of photos in the cache."""
        return len(self._members)

    def bytes_per_photo(self) -> float:
        """Return how many bytes the regions of one photo take on disk, as the mean over the photos in the cache."""
        return sum(path.stat().st_size for _, path in self._shards()) / max(1, len(self))

    def _shards(self, without=()):
        """List the shards, the zip archives of this cache, the oldest first.

        Args:
            without: a set or tuple of paths of shards to leave out.

        Returns:
            A list of (prefix, path). The ids of the shard's photos begin with the prefix: "", or for
            several datasets the dataset's name and a slash.
        """
        paths = [(prefix, path) for prefix, folder in self._folders.items() for path in folder.glob("*.zip")]
        paths = [item for item in paths if item[1] not in without]
        return sorted(paths, key=lambda item: (item[1].stat().st_mtime_ns, item[1].name))

    def _refresh(self):
        """Find the zip archives that this or another process has added to the cache, and list the photos in them."""
        # If a photo is in several shards, because its file was replaced, the newest shard is used.
        for prefix, path in self._shards(without=self._known):
            try:
                members = cache_files.index(path)
            except zipfile.BadZipFile:
                path.unlink()  # incomplete after a crash of the whole machine; its photos are extracted again
                continue
            self._known.add(path)
            self._members |= {prefix + name: member for name, member in members.items()}

    def plan(self, photos: Iterable) -> Work:
        """Estimate the time and the disk space that `fill` will need, by encoding a first batch of photos.

        Args:
            photos: objects with the attributes `id` and `path`.

        Returns:
            A Work: the number of photos that are not in the cache, and estimates of the bytes and seconds.

        Raises:
            InputError: the disk has too little free space.
        """
        missing = [photo for photo in photos if photo not in self]
        sample = missing[:BATCH_PHOTOS]
        sizes = []
        for _ in range(2):  # the first time includes compilation
            start = time.perf_counter()
            for _, regions in encode_files(self.encoder, sample, load=self._load):
                if not isinstance(regions, ImageError):
                    sizes.append(len(cache_files.pack(regions)) + 200)
            seconds = time.perf_counter() - start
        size = np.mean(sizes) if sizes else 0
        work = Work(len(missing), int(len(missing) * size), seconds * len(missing) / max(1, len(sample)))
        existing = next(parent for parent in (self.folder, *self.folder.absolute().parents) if exists(parent))
        free = shutil.disk_usage(existing).free
        if work.bytes > free:
            raise InputError(
                f"{self.folder}: regions of {work.photos} photos need {work.bytes / 1e6:.0f} MB, but only "
                f"{free / 1e6:.0f} MB are free; free some disk space or choose another --cache_dir"
            )
        return work

    def fill(self, photos: Iterable, progress: Any = silent) -> dict[str, ImageError]:
        """Compute the regions of all photos that are not in the cache, and write them to the cache.

        Args:
            photos: objects with the attributes `id` and `path`.
            progress: a function that takes the arguments of `tqdm` and returns a progress bar.

        Returns:
            A dict from the id of each photo that cannot be read to its ImageError.

        Raises:
            InputError: the cache cannot be written. Finished shards are kept.
        """
        photos = list({photo.id: photo for photo in photos}.values())
        blocks = []
        for prefix in self._folders:
            own = [photo for photo in photos if photo.id.startswith(prefix)]
            blocks += [(prefix, own[i : i + SHARD_PHOTOS]) for i in range(0, len(own), SHARD_PHOTOS)]
        bad = {}
        try:
            self._prepare()
            with progress(total=sum(photo not in self for photo in photos), unit="photo", desc="regions") as bar:
                # A block has the photos of one shard. Blocks that another process is extracting are deferred to a
                # second pass. If such a block is not complete by then, it is extracted here.
                for wait in (True, False):
                    deferred = []
                    for prefix, block in blocks:
                        self._refresh()
                        missing = [photo for photo in block if photo not in self]
                        if wait and missing and self._in_work(missing, prefix):
                            deferred.append((prefix, block))
                        elif missing:
                            bad |= self._write_shard(missing, prefix, bar)
                    blocks = deferred
        except OSError as error:
            what = "the disk is full" if error.errno == errno.ENOSPC else f"cannot be written ({error.strerror})"
            raise InputError(
                f"{self.folder}: {what}; the regions of {len(self)} photos are kept: free some disk space, or choose "
                "another --cache_dir, and run again"
            ) from None
        self._refresh()
        return bad

    def _prepare(self):
        """Create the cache's folders, describe the encoder in them, and delete unfinished files of killed processes."""
        for folder in self._folders.values():
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob("*.partial"):
                if self._is_stale(path):
                    path.unlink(missing_ok=True)
            (folder / "encoder.json").write_text(json.dumps(self.encoder.describe(), indent=2) + "\n")

    @staticmethod
    def _is_stale(path):
        """Return True if an unfinished archive of the cache was left by a killed process, or no longer exists.

        `path` is the Path of the archive. A live process would have made it grow in the last two minutes.
        """
        try:
            return time.time() - path.stat().st_mtime > _STALE_SECONDS
        except FileNotFoundError:
            return True

    @staticmethod
    def _shard_name(photos, prefix):
        """Make the file name, without suffix, of the shard (zip archive) for some photos.

        The name is the same in every process, so that processes see which photos another one is extracting.

        Args:
            photos: a list of objects with the attributes `id` and `path`.
            prefix: the beginning of their ids, which is left out: "", or the dataset's name and a slash.
        """
        lines = [f"{photo.id.removeprefix(prefix)} {cache_files.file_times(photo.path)}" for photo in photos]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]

    def _in_work(self, photos, prefix):
        """Return True if another process is extracting the same photos.

        Args:
            photos: a list of objects with the attributes `id` and `path`: the photos of one shard (zip archive).
            prefix: the beginning of their ids: "", or for several datasets the dataset's name and a slash.
        """
        partials = self._folders[prefix].glob(f"{self._shard_name(photos, prefix)}.*.partial")
        return any(not self._is_stale(path) for path in partials)

    def _write_shard(self, photos, prefix, bar):
        """Compute the regions of photos and write them to one new shard, a zip archive.

        Args:
            photos: a list of objects with the attributes `id` and `path`.
            prefix: the beginning of their ids: "", or for several datasets the dataset's name and a slash.
            bar: a progress bar, which advances by one per photo.

        Returns:
            A dict from the id of each photo that cannot be read to its ImageError.
        """
        # `files.replacing` is not used, because the name of the unfinished file must have the number of the process:
        # `_in_work` of other processes looks for it.
        folder, name = self._folders[prefix], self._shard_name(photos, prefix)
        partial_path = folder / f"{name}.{os.getpid()}.partial"
        bad = {}
        try:
            with open(partial_path, "wb") as file:
                with zipfile.ZipFile(file, "w") as shard:
                    for photo, regions in encode_files(self.encoder, photos, load=self._load):
                        if isinstance(regions, ImageError):
                            bad[photo.id] = regions
                        else:
                            version = cache_files.file_version(photo.path)
                            cache_files.write(shard, photo.id.removeprefix(prefix), regions, version)
                            file.flush()  # other processes see by the growing file that this one is alive
                        bar.update()
                file.flush()
                os.fsync(file.fileno())
            if len(bad) < len(photos):
                os.replace(partial_path, folder / f"{name}.zip")
        finally:
            partial_path.unlink(missing_ok=True)
        return bad
