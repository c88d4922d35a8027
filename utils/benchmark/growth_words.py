"""Define the tasks whose work grows with the size of the vocabulary. The module `growth` measures them."""

import tempfile
from dataclasses import replace

import numpy as np

from utils import console
from utils.benchmark.samples import draw_photos

# Number of steps or searches that are timed together, photos per search, and hypotheses that beam search keeps.
_STEPS, _SEARCHED, _BEAM = 3, 16, 3


def draw(folder, count, sizes):
    """Write artificial photos (random colours) for one training batch into a folder. Returns a list of their paths.

    `sizes` is a Sizes, which has the batch size. `count` is not used here; the function of the same name in
    `growth_photos` needs it.
    """
    return draw_photos(folder, sizes.recipe.batch_size)


def _train(sizes, paths, count):
    console.import_keras()
    from utils.benchmark import training

    yield
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        step = training.our_runs(training.make_trainer(*_settings(sizes, count), paths, folder))[-1]
        step()
        yield
        for _ in range(_STEPS):
            step()


def _search(sizes, paths, count):
    console.import_keras()
    from utils.model.decoder import AttentionDecoder
    from utils.model.search import Search

    yield
    recipe, grid = sizes.recipe, sizes.grids[-1]
    decoder = AttentionDecoder(count, recipe.units, recipe.attention_units, recipe.embedding_size)
    decoder.build((None, *grid))
    decoder.output_bias.assign(np.arange(count) * -1e-6)
    search = Search(decoder, _BEAM, recipe.max_words, batch_size=_SEARCHED)
    regions = np.random.default_rng(0).random((_SEARCHED, *grid), "float32")
    search(regions)
    yield
    for _ in range(_STEPS):
        search(regions)


def _checkpoint(sizes, paths, count):
    console.import_keras()
    from utils.benchmark import training

    yield
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        trainer = training.make_trainer(*_settings(sizes, count), paths, folder)
        yield
        trainer.checkpoint.save(trainer.state)
        return trainer.checkpoint.path.stat().st_size


def _settings(sizes, count):
    return replace(sizes, vocabulary=count), sizes.grids[-1]


# A dict from name to task.
TASKS = {
    f"{_STEPS} training steps": _train,
    f"{_STEPS} searches of {_SEARCHED} photos, beam {_BEAM}": _search,
    "a checkpoint": _checkpoint,
}

# All tasks are measured at all sizes.
MOST = {}
