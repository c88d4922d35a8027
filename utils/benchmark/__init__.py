"""Measure the speed of every phase of the program, and compare it with a baseline.

The baseline, called tutorial baseline, does the same work in the way in which tutorials program it. Each phase is
measured by its own module: `caching`, `training`, `decoding`, `startup` and `memory`. The baseline is in
`tutorial_baseline`. The modules `measurements` and `fresh` run the measurements, `samples` makes data, `machine`
describes the machine, and `growth` measures how time and memory grow with the amount of work.
"""

import os
import tempfile
import time
from collections import namedtuple

from utils import console
from utils.benchmark import fresh, memory, samples, startup
from utils.errors import InputError
from utils.model.model_folder import read_config
from utils.progress import silent

# The results. `machine` is a dict that describes the machine. `measurements` is a list of Measurement. `notes` is a
# list of lines about the limits of the measurements. `seconds` is the time of the whole benchmark.
Benchmark = namedtuple("Benchmark", "machine measurements notes seconds")


def measure(sizes, photos=None, weights=None, progress=silent):
    """Measure the speed of this program and of a baseline: code that does the same work in the way tutorials show.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        photos: folder of photos; None for pictures of random colours, which the program makes.
        weights: weights of the measured encoders, "imagenet" or "random". None means "imagenet" for encoders whose
            ImageNet weights are on this machine, and "random" for the others.
        progress: function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        A Benchmark: the machine, the measurements, and notes about their limits.

    Raises:
        InputError: the model, the photos or the weights are not available.
    """
    _check_system()
    read_config(sizes.model)
    started, load = time.perf_counter(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        count = sizes.all_photos
        paths = samples.take_photos(photos, count) if photos else samples.draw_photos(folder, count)
        if weights == "imagenet":
            fresh.call(_check_weights, sizes, weights)  # raise InputError now if the weights are not available
        drawn = samples.with_captions(paths, 1, samples.draw_tokenizer(5))
        # These measurements run in new processes. They come before TensorFlow is imported here, because it takes all
        # memory of the GPU.
        found = startup.measure(sizes, progress)
        peaks = memory.measure(sizes, drawn, weights, progress)
        console.import_keras()
        from utils.benchmark import caching, decoding, training
        from utils.benchmark.machine import describe_machine

        found += caching.measure(sizes, drawn, weights, progress)
        found += training.measure(sizes, drawn, progress)
        found += decoding.measure(sizes, drawn, progress)
    machine = describe_machine(load)
    return Benchmark(machine, found + peaks, _notes(machine, sizes, photos, weights), time.perf_counter() - started)


def measure_growth(sizes, progress=silent):
    """Measure how time, memory and disk use grow with the numbers of photos and words.

    Args:
        sizes: a Sizes object, which holds the amount of work.
        progress: function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        (machine, points, seconds): a dict that describes the machine, a list of growth.Point, and the time of the whole
        measurement.
    """
    from utils.benchmark import growth

    _check_system()
    started, load = time.perf_counter(), os.getloadavg()[0]
    points = growth.measure(sizes, progress)
    console.import_keras()
    from utils.benchmark.machine import describe_machine

    return describe_machine(load), points, time.perf_counter() - started


def _check_system():
    if os.environ.get("KERAS_BACKEND") not in (None, "", "tensorflow"):
        raise InputError("benchmark.py measures on TensorFlow: unset KERAS_BACKEND")
    if os.name == "nt":
        raise InputError("the benchmark does not support Windows; run it on Linux, macOS, or under WSL2")


def _check_weights(sizes, weights):
    console.import_keras()
    from utils.benchmark import caching

    for name in sizes.encoders:
        caching.make_encoder(name, sizes, weights)


def _notes(machine, sizes, photos, weights):
    """Return a list of lines about the limits of the measurements, such as "no GPU is measured".

    `machine` is a dict that describes the machine, `sizes` a Sizes, the amount of work, `photos` a folder of photos or
    None, and `weights` "imagenet", "random" or None.
    """
    from utils.benchmark.caching import choose_weights

    notes = []
    if machine["gpus"]:
        notes.append("peak memory is the processor's; GPU memory is not measured")
    else:
        notes.append("no GPU is measured: TensorFlow finds none on this machine")
    random = [name for name in sizes.encoders if (weights or choose_weights(name)) == "random"]
    if random:
        notes.append(
            f"ImageNet weights of {', '.join(random)} are not used: random ones take the same time, other disk space"
        )
    if not photos:
        notes.append("photos are drawn; --photos FOLDER takes real ones")
    notes.append("captions and regions in training are random; captions have the lengths of Flickr8k's")
    notes.append("the first caption has no tutorial baseline: tutorials have no command for it")
    if sizes.repetitions < 3:
        notes.append("the variation is unknown: too few repetitions")
    if machine["load_before"] > 0.5:
        notes.append(f"the machine was busy before (load {machine['load_before']}), so all results may be too slow")
    return notes
