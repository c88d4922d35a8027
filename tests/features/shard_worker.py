"""One of several processes that share the work by --shard. It does not import TensorFlow, so many can start at once.

    python -m tests.features.shard_worker cache K/N PHOTOS CACHE...
    python -m tests.features.shard_worker caption K/N ARGUMENTS...

The first command fills each cache with its part of a folder of photos. The
second runs inference.py. Means of pixels replace the networks. Both print
"ready" and begin after the next line from standard input.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from utils import console
from utils.data import images
from utils.features.cache import RegionCache, encode_files, shard_of


class BlockEncoder:
    """A substitute for an Encoder: its regions are the mean colours of 4 × 4 blocks."""

    name, image_size, channels, fingerprint = "blocks", 32, 3, "0" * 64

    def encode(self, pixels):
        """The regions, as a float32 array (photos, 16, 3)."""
        return pixels.reshape(-1, 4, 8, 4, 8, 3).mean((2, 4), dtype="float32").reshape(-1, 16, 3)

    def describe(self):
        """The settings that a cache writes to its folder."""
        return {"fingerprint": self.fingerprint}


def photos_in(folder):
    """The photos of a folder, with the attributes of a dataset's Photo."""
    return [SimpleNamespace(id=path.name, path=path) for path in images.find_photos(folder)]


def caption_each(photos, *options):
    """A substitute for `Captioner.caption_each`: the caption is the mean colour."""
    for photo, regions in encode_files(BlockEncoder(), photos):
        if not isinstance(regions, Exception):
            regions = [
                SimpleNamespace(
                    text=f"Mean {regions.mean(0)}.",
                    log_probability=-float(regions.mean()),
                    score=-float(regions.mean()),
                    confidence=None,
                )
            ]
        yield photo, regions


def main(task, part, *arguments):
    """Do one part of the work."""
    print("ready", flush=True)
    sys.stdin.readline()
    if task == "cache":
        folder, *caches = map(Path, arguments)
        photos = shard_of(photos_in(folder), *console.part(part))
        for cache in caches:
            RegionCache(cache, "test", BlockEncoder()).fill(photos)
        return
    captioner = SimpleNamespace(caption_each=caption_each)
    sys.modules["utils.ensemble"] = SimpleNamespace(load_captioner=lambda *_: captioner)
    console.import_keras = lambda: None
    import inference

    inference.main(["--shard", part, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
