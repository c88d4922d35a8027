"""What this machine does in a second: every phase of the program beside what a user would write instead.

One file a phase (`caching`, `training`, `decoding`, `startup`, `memory`), the
user's way in `tutorial_baseline`; how it is measured in `figures` and `fresh`, on what in
`samples`, and where in `machine`.
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

# What was measured where: a dict that describes the machine, a list of Figure, and lines on what was not measured.
Benchmark = namedtuple("Benchmark", "machine figures notes seconds")


def measure(sizes, photos=None, weights=None, progress=silent):
    """Measure every phase in one run, ours and the tutorial baseline in turns.

    Args:
        sizes: Sizes.
        photos: a folder of photos; drawn ones if None.
        weights: of the encoders that are timed: "imagenet", "random", or None for
            ImageNet's where they are on this machine.
        progress: called as tqdm is.

    Returns:
        A Benchmark.

    Raises:
        InputError: no model, no photos, or weights that cannot be had.
    """
    _check_system()
    read_config(sizes.model)
    started, load = time.perf_counter(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        count = sizes.all_photos
        paths = samples.take_photos(photos, count) if photos else samples.draw_photos(folder, count)
        if weights == "imagenet":
            fresh.call(_check_weights, sizes, weights)  # what cannot be had is told now
        drawn = samples.with_captions(paths, 1, samples.draw_tokenizer(5))
        # Before TensorFlow is here: it keeps the whole of a GPU's memory, which these processes need.
        figures = startup.measure(sizes, progress)
        peaks = memory.measure(sizes, drawn, weights, progress)
        console.import_keras()
        from utils.benchmark import caching, decoding, training
        from utils.benchmark.machine import describe_machine

        figures += caching.measure(sizes, drawn, weights, progress)
        figures += training.measure(sizes, drawn, progress)
        figures += decoding.measure(sizes, drawn, progress)
    machine = describe_machine(load)
    return Benchmark(machine, figures + peaks, _notes(machine, sizes, photos, weights), time.perf_counter() - started)


def measure_growth(sizes, progress=silent):
    """Measure how the work grows: the machine as a dict, a list of growth.Point, and seconds."""
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
        raise InputError("the benchmark asks for what Windows does not tell; run it on Linux, macOS, or under WSL2")


def _check_weights(sizes, weights):
    console.import_keras()
    from utils.benchmark import caching

    for name in sizes.encoders:
        caching.make_encoder(name, sizes, weights)


def _notes(machine, sizes, photos, weights):
    """Lines on what was not measured, and on what figures must not be taken for."""
    from utils.benchmark.caching import choose_weights

    notes = []
    if machine["gpus"]:
        notes.append("a GPU's memory: peak memory is the processor's")
    else:
        notes.append("a GPU: TensorFlow finds none here")
    random = [name for name in sizes.encoders if (weights or choose_weights(name)) == "random"]
    if random:
        notes.append(f"ImageNet weights of {', '.join(random)}: random ones take as long, but other bytes a photo")
    if not photos:
        notes.append("real photos: these were drawn; --photos FOLDER takes real ones")
    notes.append("real captions in training: drawn ones have Flickr8k's lengths; regions there are drawn too")
    notes.append("the first caption of the tutorial baseline: tutorials have no command that writes one")
    if sizes.repetitions < 3:
        notes.append("how much the figures vary: too few repetitions")
    if machine["load_before"] > 0.5:
        notes.append(f"a quiet machine: {machine['load_before']} programs wanted to run before, so all may be too slow")
    return notes
