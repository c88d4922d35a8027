"""What is trained by default for each dataset: one recipe each, found on its `val` split."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run; those in the first block are flags of train.py."""

    encoder: str = "vgg16"
    encoder_weights: str = "imagenet"
    epochs: int = 12
    batch_size: int = 32  # photos, each with its captions
    learning_rate: float = 1e-3  # at its peak
    min_word_count: int = 5

    image_size: int = 224
    layer: str | None = None  # of the encoder; None is its own default
    pool: int = 1  # squares of regions of which the maximum is kept
    units: int = 512
    attention_units: int = 512
    embedding_size: int = 256
    max_words: int = 20  # longer captions are cut
    captions_per_photo: int = 5
    dropout: float = 0.4
    label_smoothing: float = 0.1
    weight_decay: float = 0.01
    warmup_steps: int = 100
    averaging: float = 0.997  # momentum of the averaged weights
    clip_norm: float = 5.0
    beam_size: int = 3  # of the validation captions
    patience: int = 4  # epochs without a better CIDEr before training stops


RECIPES = {
    # VGG16 at random weights sees colour and outline in its middle layers, at
    # the scale of the shapes.
    "shapes": Recipe(
        encoder_weights="random",
        epochs=12,
        learning_rate=2e-3,
        min_word_count=1,
        image_size=112,
        layer="block3_pool",
        pool=2,
        units=128,
        attention_units=128,
        embedding_size=64,
        max_words=12,
        dropout=0.2,
        label_smoothing=0.05,
        patience=8,
    ),
    "flickr8k": Recipe(),
}
