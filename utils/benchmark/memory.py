"""Measure the peak memory of each phase of the program and of the baseline, each in its own process."""

import tempfile

from utils import console
from utils.benchmark import fresh
from utils.benchmark.measurements import Measurement


def cache(name, ours, sizes, photos, weights):
    """Compute and cache the regions of photos, and return the peak memory of this process in bytes.

    Args:
        name: name of the encoder, such as "vgg16".
        ours: True for the program, False for the baseline, which is code as tutorials have it.
        sizes: a Sizes object, which holds the amount of work.
        photos: list of objects with `id` and `path`.
        weights: "imagenet" or "random"; None: "imagenet" if these weights are on this machine, else "random".
    """
    console.import_keras()
    from utils.benchmark import caching

    encoder = caching.make_encoder(name, sizes, weights, None if ours else "float32")
    (caching.fill_cache if ours else caching.fill_folder)(encoder, photos[: sizes.photos if ours else 2])
    return fresh.peak_bytes()


def train(grid, ours, sizes, photos, weights):
    """Do two training steps and return the peak memory of this process in bytes.

    Args:
        grid: (regions, channels), the shape of a photo's regions.
        ours: True for the program, False for the baseline, which is code as tutorials have it.
        sizes: a Sizes object, which holds the amount of work.
        photos: list of objects with `path`.
        weights: not used here; `measure` passes the same arguments to `cache`, which needs it.
    """
    console.import_keras()
    from utils.benchmark import training

    paths = [photo.path for photo in photos]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        if ours:
            step = training.our_runs(training.make_trainer(sizes, grid, paths, folder))[-1]
        else:
            step = training.BaselineTraining(sizes, grid, paths, folder).step
        step()
        step()
    return fresh.peak_bytes()


def decode(setting, ours, sizes, photos, weights):
    """Write captions from regions, and return the peak memory of this process in bytes.

    Args:
        setting: (beam size, batch size).
        ours: True for the program, False for the baseline, which is code as tutorials have it.
        sizes: a Sizes object, which holds the amount of work.
        photos: list of objects with `path`.
        weights: not used here; `measure` passes the same arguments to `cache`, which needs it.
    """
    console.import_keras()
    from utils.benchmark import decoding, tutorial_baseline

    beam, batch = setting
    captioner, regions = decoding.load(sizes, photos, batch if ours else 1)
    if ours:
        decoding.search_all(captioner, regions, beam, batch)
    else:
        decoding.predict_all(tutorial_baseline.NextWord(captioner.decoder), captioner, regions, beam)
    return fresh.peak_bytes()


def measure(sizes, photos, weights, progress):
    """Measure the peak memory of every phase, for the program and for the baseline, which is code as tutorials have it.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        photos: list of objects with `id` and `path`.
        weights: "imagenet" or "random"; None: "imagenet" if these weights are on this machine, else "random".
        progress: function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        A list of Measurement.
    """
    search = sizes.beams[len(sizes.beams) // 2], max(sizes.batches)
    tasks = [("caching", f"caching, {name}", cache, name) for name in sizes.encoders]
    tasks += [("training", f"training, {grid[0]} regions of {grid[1]}", train, grid) for grid in sizes.grids]
    tasks.append(("decoding", "decoding, beam {}, batches of {}".format(*search), decode, search))
    tasks = [task[1:] for task in tasks if task[0] in sizes.memory]
    measurements = []
    with progress(total=2 * len(tasks), desc="memory", unit="process", leave=False) as bar:
        for what, function, setting in tasks:
            peaks = []
            for ours in (True, False):
                peaks.append(fresh.call(function, setting, ours, sizes, photos, weights) / 1e6)
                bar.update()
            measurements.append(Measurement("peak memory", what, "MB", *((peak,) for peak in peaks)))
    return measurements
