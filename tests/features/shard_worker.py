"""Do a part of the work that several processes share by --shard.

TensorFlow is not imported, so that many processes can start at once.

    python -m tests.features.shard_worker cache K/N PHOTOS CACHE...
    python -m tests.features.shard_worker caption K/N ARGUMENTS...

K is the number of this process, and N is the number of processes. The first
command adds part K of the photos in a folder to each cache. The second runs
inference.py on part K of the photos. Means of pixels replace the networks. Both
commands print "ready" and wait for a line from standard input before they begin.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from utils import console
from utils.data.photo_files import find_photos
from utils.features.cache import RegionCache, encode_files, shard_of


class BlockEncoder:
    """Replace an Encoder. The regions are the mean colours of 4 × 4 blocks of the photo."""

    name, image_size, channels, fingerprint = "blocks", 32, 3, "0" * 64

    def encode(self, pixels):
        """Compute the regions, a float32 array (photos, 16, 3), of a uint8 array (photos, 32, 32, 3)."""
        return pixels.reshape(-1, 4, 8, 4, 8, 3).mean((2, 4), dtype="float32").reshape(-1, 16, 3)

    def describe(self):
        """Return the settings that a cache writes to its folder."""
        return {"fingerprint": self.fingerprint}


def photos_in(folder):
    """List the photos of a folder as objects with the attributes `id` and `path`."""
    return [SimpleNamespace(id=path.name, path=path) for path in find_photos(folder)]


def caption_each(photos, *options):
    """Replace `Captioner.caption_each`. The caption of a photo is its mean colour."""
    for photo, regions in encode_files(BlockEncoder(), photos):
        if not isinstance(regions, Exception):
            regions = [
                SimpleNamespace(
                    text=f"Mean {regions.mean(0)}.",
                    words=("mean",),
                    log_probability=-float(regions.mean()),
                    score=-float(regions.mean()),
                    confidence=None,
                )
            ]
        yield photo, regions


def main(task, part, *arguments):
    """Do one part of the work.

    Args:
        task: "cache" or "caption".
        part: "K/N", as for --shard.
        arguments: the further arguments of the command.
    """
    print("ready", flush=True)
    sys.stdin.readline()
    if task == "cache":
        folder, *caches = map(Path, arguments)
        photos = shard_of(photos_in(folder), *console.part(part))
        for cache in caches:
            RegionCache(cache, "test", BlockEncoder()).fill(photos)
        return
    captioner = SimpleNamespace(caption_each=caption_each)
    sys.modules["utils.captioner"] = SimpleNamespace(Captioner=SimpleNamespace(from_folder=lambda *_: captioner))
    console.import_keras = lambda: None
    import inference

    inference.main(["--shard", part, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
