"""Measure the speed of caching: how fast the regions of photos are computed and written to the cache."""

import statistics
import tempfile
from functools import partial
from pathlib import Path

from utils.benchmark import tutorial_baseline
from utils.benchmark.measurements import Measurement, rates, take_turns, timed
from utils.features.cache import RegionCache
from utils.features.encoder_weights import imagenet_is_here
from utils.features.encoders import Encoder
from utils.runtime.hardware import measure_matmul_rate

PRECISIONS = ("float32", "bfloat16")


def choose_weights(name):
    """Return "imagenet" if the ImageNet weights of an encoder are on this machine, else "random".

    `name` is the name of the encoder, such as "vgg16".
    """
    return "imagenet" if imagenet_is_here(name) else "random"


def make_encoder(name, sizes, weights=None, precision=None):
    """Make an Encoder for the measurements.

    Args:
        name: name of the encoder, such as "vgg16".
        sizes: a Sizes object, which has the image size.
        weights: "imagenet" or "random"; None: "imagenet" if these weights are on this machine, else "random".
        precision: "float32" or "bfloat16"; None for the one that is faster.
    """
    return Encoder(name, weights or choose_weights(name), sizes.image_size, precision=precision)


def fill_cache(encoder, photos):
    """Compute the regions of photos with an Encoder and write them to a new cache, as the program does.

    `photos` is a list of objects with `id` and `path`. Returns the mean number of bytes on disk per photo.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        cache = RegionCache(folder, "benchmark", encoder)
        cache.fill(photos)
        return cache.bytes_per_photo()


def fill_folder(encoder, photos):
    """Compute the regions of photos with an Encoder and write them to files, as tutorials do (the baseline).

    `photos` is a list of objects with `id` and `path`. Returns the mean number of bytes on disk per photo.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        tutorial_baseline.cache_regions(encoder, photos, folder)
        return statistics.mean(path.stat().st_size for path in Path(folder).iterdir())


def measure(sizes, photos, weights, progress):
    """Measure how fast the regions of photos are cached with each encoder, and how many bytes a photo takes.

    The encoder's speed is also compared with the machine's speed of matrix products.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        photos: list of objects with `id` and `path`.
        weights: "imagenet" or "random"; None: "imagenet" if these weights are on this machine, else "random".
        progress: function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        A list of Measurement.
    """
    photos = photos[: sizes.photos]
    return [
        measurement
        for name in sizes.encoders
        for measurement in _measure_encoder(name, sizes, photos, weights, progress)
    ]


def _measure_encoder(name, sizes, photos, weights, progress):
    encoders = {precision: make_encoder(name, sizes, weights, precision) for precision in PRECISIONS}
    plain, alone = encoders["float32"], photos[: sizes.photos_alone]
    runs = [timed(precision, partial(fill_cache, encoder, photos)) for precision, encoder in encoders.items()]
    runs.append(timed("baseline", partial(fill_folder, plain, alone)))
    runs += [lambda p=p: {f"matrix products {p}": measure_matmul_rate(p)} for p in PRECISIONS]
    values = take_turns(runs, sizes, progress, f"caching, {name}")
    measurements = []
    for precision in PRECISIONS:
        title, speed = f"{name}, {precision}", rates(len(photos), values[precision])
        measurements.append(Measurement("caching", title, "photos/s", speed, rates(len(alone), values["baseline"])))
        peak = statistics.median(values[f"matrix products {precision}"])
        share = tuple(100 * rate * plain.operations / peak for rate in speed)
        measurements.append(Measurement("caching", f"{title}: of the rate of its matrix products", "%", share))
    bytes_ours, bytes_baseline = fill_cache(plain, photos), fill_folder(plain, alone)
    title = f"{name}, {plain.weights} weights: a photo"
    return [*measurements, Measurement("caching", title, "bytes", (bytes_ours,), (bytes_baseline,))]
