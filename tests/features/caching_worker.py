"""Fill a cache of regions slowly, or until this process kills itself. This is run as a separate process."""

import time
from pathlib import Path
from types import SimpleNamespace

from tests.training.training_worker import die
from utils.features import cache as cache_module
from utils.features import cache_files
from utils.features.encoders import Encoder

# The number of photos in a shard.
SHARD_PHOTOS = 4


def main(cache, photos, last=None):
    """Fill a cache with the photos of a folder. Each shard takes at least 0.3 s.

    Args:
        cache: the folder of the cache.
        photos: the folder of the photos.
        last: the process kills itself after it has written this number of photos; None for never.
    """
    cache_module.SHARD_PHOTOS = SHARD_PHOTOS
    encoder = Encoder("vgg16", "random", image_size=32, layer="block1_pool", precision="float32")
    encode, write, written = encoder.encode, cache_files.write, []

    def encode_slowly(pixels):
        time.sleep(0.3)
        return encode(pixels)

    def write_and_die(*arguments):
        write(*arguments)
        written.append(1)
        if len(written) == last:
            die()

    encoder.encode, cache_files.write = encode_slowly, write_and_die
    files = [SimpleNamespace(id=path.name, path=path) for path in sorted(Path(photos).iterdir())]
    cache_module.RegionCache(cache, "test", encoder).fill(files)
