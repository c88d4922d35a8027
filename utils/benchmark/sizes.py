"""The amount of work of a benchmark run."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from utils.training.recipes import Recipe

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sizes:
    """The amount of work of a benchmark run.

    Args:
        repetitions: number of repetitions, of which the median counts.
        warm_ups: number of repetitions before them, which do not count.
        encoders: names of the encoders whose caching is measured.
        image_size: side of the encoders' input in pixels.
        photos: photos per repetition of caching.
        photos_alone: of these, photos for the tutorial baseline.
        grids: (regions, channels) of the measured trainings.
        recipe: Recipe of the trained decoder; its batch size is used.
        vocabulary: number of words, special words included.
        model: model folder for decoding.
        beams: beam sizes of decoding.
        batches: batch sizes of decoding, in photos.
        captions_alone: photos per repetition of the tutorial baseline's decoding.
        memory: phases whose peak memory is measured.
        growth_photos: numbers of photos between which growth is measured, increasing.
        growth_words: numbers of vocabulary words between which growth is measured, increasing.
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
        """The largest number of photos in use at once."""
        return max(self.photos, self.recipe.batch_size, *self.batches)


FULL = Sizes()

# A short run, as a trial.
QUICK = replace(
    FULL,
    repetitions=1,
    photos=16,
    photos_alone=2,
    captions_alone=1,
    growth_photos=(250, 1_000),
    growth_words=(1_000, 3_000),
)
