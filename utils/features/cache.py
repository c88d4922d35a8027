"""The cache of regions on disk: every photo goes through the encoder once.

A cache is a folder of zip archives ("shards"), a member a photo: 8-bit
regions, compressed, with zip's own index and checksums. A shard appears by an
atomic rename and never changes, so neither a process that is killed nor a
second one that fills the same cache can do harm; what is missing is extracted.
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

# Photos in one shard: few files for a large dataset, little to lose by a kill.
SHARD_PHOTOS = 256

# Photos that go through the encoder together.
BATCH_PHOTOS = 16

# Bytes of regions that a cache keeps in memory, 8 bits a value, so that they are decompressed once: all those of the
# sample's scenes, or of Flickr8k at 7 × 7 regions.
_HELD_BYTES = 256_000_000

# A partial shard that has not grown for this long was left by a killed process.
_STALE_SECONDS = 120

# What `fill` is about to do: photos without regions, and the bytes and seconds these will take.
Work = namedtuple("Work", "photos bytes seconds")


def load_photo(photo, size):
    """The pixels of an object with a `path`, uint8 (size, size, 3)."""
    return load_pixels(photo.path, size)


def encode_files(encoder, photos, batch_size=BATCH_PHOTOS, load=load_photo):
    """Decode and encode photos in batches, decoding ahead while the encoder works.

    Args:
        encoder: an Encoder.
        photos: objects with a `path`.
        batch_size: photos that go through the encoder together.
        load: gives the pixels of a photo at a size, as `load_photo`.

    Yields:
        (photo, float32 regions (regions, channels)), or (photo, ImageError) for
        a file that cannot be read, in order.
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
            # Every batch has the same size, so the encoder is compiled once.
            blank = np.zeros((encoder.image_size, encoder.image_size, 3), "uint8")
            regions = iter(encoder.encode(np.stack(good + [blank] * (batch_size - len(good)))) if good else ())
            for photo, result in zip(batch, pixels):
                yield photo, result if isinstance(result, ImageError) else next(regions)


def shard_of(photos, number, count):
    """The photos that machine `number` of `count` (from 1) extracts: every `count`th, so that all take equally long."""
    return photos[number - 1 :: count]


class RegionCache:
    """Regions of photos on disk, for one encoder.

    Every dataset has a folder of its own, so that what was extracted for one
    serves a table of several too. Folders of several machines are merged by
    copying their files together.

    Args:
        folder: where all caches lie; this one gets a folder of its own in it.
        name: of the dataset; of several, joined by "+", and then the ids of
            photos begin with their dataset's name and a slash.
        encoder: an Encoder; its fingerprint is part of the folder's name, so
            that a stale cache is never used.
        load: gives the pixels of a photo at a size, as `load_photo`.
    """

    def __init__(self, folder: str | Path, name: str, encoder: Any, load: Callable = load_photo) -> None:
        self.encoder, self._load = encoder, load
        names = name.split("+")
        suffix = f"{encoder.name}-{encoder.fingerprint[:12]}"
        self._folders = {f"{n}/" if len(names) > 1 else "": Path(folder) / f"{n}-{suffix}" for n in names}
        self.folder = Path(folder) if len(names) > 1 else self._folders[""]
        self._known = set()
        self._members = {}
        self._held, self._held_bytes = {}, 0  # by Member
        self._refresh()

    def __contains__(self, photo: Any) -> bool:
        """Whether the regions of a photo, as its file is now, are there."""
        member = self._members.get(photo.id)
        current = member and cache_files.if_of(member, photo.path)
        if current:
            self._members[photo.id] = current
        return bool(current)

    def __getitem__(self, image_id: str) -> np.ndarray:
        """Float32 (regions, channels) of a photo that is in the cache."""
        member = self._members[image_id]
        data = self._held.get(member)
        if data is None:
            data = cache_files.read(member)
            # Whatever came first stays: an epoch asks for all, in another order each time.
            if self._held_bytes + len(data) <= _HELD_BYTES:
                self._held[member] = data
                self._held_bytes += len(data)
        return cache_files.restore(data, self.encoder.channels)

    def stack(self, image_ids: Iterable[str]) -> np.ndarray:
        """Float32 (photos, regions, channels) of photos that are in the cache."""
        return np.stack([self[image_id] for image_id in image_ids])

    def means(self, image_ids: list[str], progress: Any = silent) -> np.ndarray:
        """Mean regions, float32 (photos, channels), of photos that are in the cache, with progress as tqdm's."""
        means = np.empty((len(image_ids), self.encoder.channels), "float32")
        with progress(total=len(image_ids), unit="photo", desc="mean regions", leave=False) as bar:
            for mean, image_id in zip(means, image_ids):
                mean[:] = self[image_id].mean(axis=0)
                bar.update()
        return means

    def __len__(self) -> int:
        return len(self._members)

    def bytes_per_photo(self) -> float:
        """Mean size of a photo's regions on disk."""
        return sum(path.stat().st_size for _, path in self._shards()) / max(1, len(self))

    def _shards(self, without=()):
        """The shards that are there, oldest first, each with what ids begin with."""
        paths = [(prefix, path) for prefix, folder in self._folders.items() for path in folder.glob("*.zip")]
        paths = [item for item in paths if item[1] not in without]
        return sorted(paths, key=lambda item: (item[1].stat().st_mtime_ns, item[1].name))

    def _refresh(self):
        """Take in the shards that this or another process has added."""
        # Regions of a photo that was replaced are overruled by newer ones.
        for prefix, path in self._shards(without=self._known):
            try:
                members = cache_files.index(path)
            except zipfile.BadZipFile:
                path.unlink()  # cut short by a crash of the whole machine: extract again
                continue
            self._known.add(path)
            self._members |= {prefix + name: member for name, member in members.items()}

    def plan(self, photos: Iterable) -> Work:
        """The Work that `fill` has to do, judged by a first batch of photos.

        Raises:
            InputError: the disk has no room for it.
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
                f"{self.folder}: regions of {work.photos} photos take {work.bytes / 1e6:.0f} MB, but "
                f"{free / 1e6:.0f} MB are free; make room or choose another --cache_dir"
            )
        return work

    def fill(self, photos: Iterable, progress: Any = silent) -> dict[str, ImageError]:
        """Extract the regions of all photos that are not in the cache yet.

        Args:
            photos: objects with `id` and `path`.
            progress: called as tqdm is, to show how far the work is.

        Returns:
            The photos that could not be read, as a dict from id to ImageError.

        Raises:
            InputError: the cache cannot be written; what was finished stays.
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
                # A block that another process is at waits till the end: by then
                # it is mostly done, and otherwise it is done here.
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
                f"{self.folder}: {what}; {len(self)} photos are kept: make room, or choose another "
                "--cache_dir, and run again"
            ) from None
        self._refresh()
        return bad

    def _prepare(self):
        """Make the folders, say in them what they hold, and remove what killed processes left."""
        for folder in self._folders.values():
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob("*.partial"):
                if self._is_stale(path):
                    path.unlink(missing_ok=True)
            (folder / "encoder.json").write_text(json.dumps(self.encoder.describe(), indent=2) + "\n")

    @staticmethod
    def _is_stale(path):
        try:
            return time.time() - path.stat().st_mtime > _STALE_SECONDS
        except FileNotFoundError:
            return True

    @staticmethod
    def _shard_name(photos, prefix):
        lines = [f"{photo.id.removeprefix(prefix)} {cache_files.file_mark(photo.path)}" for photo in photos]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]

    def _in_work(self, photos, prefix):
        partials = self._folders[prefix].glob(f"{self._shard_name(photos, prefix)}.*.partial")
        return any(not self._is_stale(path) for path in partials)

    def _write_shard(self, photos, prefix, bar):
        """Extract photos into one new shard; returns those that could not be read."""
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
                            stamp = cache_files.file_stamp(photo.path)
                            cache_files.write(shard, photo.id.removeprefix(prefix), regions, stamp)
                            file.flush()  # a growing file tells others that the block is in work
                        bar.update()
                file.flush()
                os.fsync(file.fileno())
            if len(bad) < len(photos):
                os.replace(partial_path, folder / f"{name}.zip")
        finally:
            partial_path.unlink(missing_ok=True)
        return bad
