"""Define the amount of work of a benchmark run."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from utils.training.recipes import Recipe

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sizes:
    """Hold the amount of work of a benchmark run.

    Args:
        repetitions: number of repetitions, whose median is the result.
        warm_ups: number of runs before the repetitions. Warm-up runs are not measured.
        encoders: names of the encoders whose caching is measured.
        image_size: width and height of the encoders' input in pixels.
        photos: number of photos per repetition of caching.
        photos_alone: number of photos per repetition of caching by the baseline, which is code as tutorials have it.
        grids: a pair (regions, channels) for each training that is measured.
        recipe: Recipe, the training settings of the measured decoder, such as its batch size.
        vocabulary: number of words, including the special words.
        model: model folder for decoding.
        beams: beam sizes of decoding.
        batches: batch sizes of decoding, in photos.
        captions_alone: number of photos that the baseline captions per repetition.
        memory: phases whose peak memory is measured.
        growth_photos: numbers of photos for which the growth of time and memory is measured, increasing.
        growth_words: vocabulary sizes for which the growth of time and memory is measured, increasing.
    """

    repetitions: int = 5
    warm_ups: int = 1
    encoders: tuple = ("vgg16", "mobilenet")
    image_size: int = 224
    photos: int = 32
    photos_alone: int = 8
    grids: tuple = ((196, 512), (49, 768))
    recipe: Recipe = field(default_factory=Recipe)
    vocabulary: int = 2542
    model: Path = ROOT / "models/flickr8k"
    beams: tuple = (1, 3, 5)
    batches: tuple = (1, 64)
    captions_alone: int = 2
    memory: tuple = ("caching", "training", "decoding")
    growth_photos: tuple = (1_000, 8_000, 31_000, 123_000)
    growth_words: tuple = (3_000, 10_000, 30_000)

    @property
    def all_photos(self):
        """Return the largest number of photos that a measurement uses."""
        return max(self.photos, self.recipe.batch_size, *self.batches)


FULL = Sizes()

# A short run, to try the benchmark.
QUICK = replace(
    FULL,
    repetitions=1,
    photos=16,
    photos_alone=2,
    captions_alone=1,
    growth_photos=(250, 1_000),
    growth_words=(1_000, 3_000),
)
