"""How much is measured, and of what."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from utils.training.recipes import Recipe

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sizes:
    """What a run of the benchmark measures.

    Args:
        repetitions: of everything; the median counts.
        warm_ups: repetitions before them, which do not count.
        encoders: names of encoders whose caching is measured.
        image_size: side of the photos as encoders take them, in pixels.
        photos: extracted together in a repetition.
        photos_alone: of these, by the tutorial baseline.
        grids: (regions, channels) that are trained on.
        recipe: of the decoder that is trained; its batch is the batch.
        vocabulary: words that it knows, the special ones included.
        model: the folder of the model that decodes.
        beams, batches: hypotheses and photos decoded together.
        captions_alone: photos that are captioned one after another in a repetition.
        memory: phases whose peak memory is measured.
        growth_photos, growth_words: photos of a dataset and words of a vocabulary, from few to
            many, between which growth is told.
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
        """Photos that are needed at once."""
        return max(self.photos, self.recipe.batch_size, *self.batches)


FULL = Sizes()

# Enough to see that everything runs.
QUICK = replace(
    FULL,
    repetitions=1,
    photos=16,
    photos_alone=2,
    captions_alone=1,
    growth_photos=(250, 1_000),
    growth_words=(1_000, 3_000),
)
