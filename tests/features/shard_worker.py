"""One of several processes that share the work by --shard; without TensorFlow, so that many start at once.

    python -m tests.features.shard_worker cache K/N PHOTOS CACHE...
    python -m tests.features.shard_worker caption K/N ARGUMENTS...

The first fills each of the caches with its part of a folder of photos, the
second is inference.py. In place of networks stand means of pixels. Either
prints "ready", and begins with the next line from standard input.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from utils import console
from utils.data import images
from utils.features.cache import RegionCache, encode_files, shard_of


class BlockEncoder:
    """The mean colour of 4 × 4 blocks, in place of an Encoder."""

    name, image_size, channels, fingerprint = "blocks", 32, 3, "0" * 64

    def encode(self, pixels):
        """Float32 (photos, 16, 3)."""
        return pixels.reshape(-1, 4, 8, 4, 8, 3).mean((2, 4), dtype="float32").reshape(-1, 16, 3)

    def describe(self):
        """What a cache says that it holds."""
        return {"fingerprint": self.fingerprint}


def photos_in(folder):
    """The photos of a folder, as a dataset has them."""
    return [SimpleNamespace(id=path.name, path=path) for path in images.find_photos(folder)]


def caption_each(photos, *options):
    """In place of `Captioner.caption_each`: the mean colour is the caption."""
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
    """Share in the work."""
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
