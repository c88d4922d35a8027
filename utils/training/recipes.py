"""What is trained by default for each dataset: one recipe each, found on its `val` split."""

import math
from dataclasses import dataclass, fields

from utils.errors import InputError


@dataclass(frozen=True)
class Stage:
    """A part of a run that has a goal, and data, of its own.

    Args:
        name: "tagging", "decoder", "finetuning" or "self-critical".
        number: sets its random choices apart from those of the other stages.
        epochs: at most.
        learning_rate: at its peak.
        dropout: of the decoder.
        on_photos: whether it trains on photos, varied by chance, rather than on cached regions.
        trains_encoder: whether the encoder is trained too.
        self_critical: whether it maximises a reward rather than likelihood.
        start_share: of the weights that it begins with in the mean that is validated and kept.
        tagging: whether it trains the encoder alone, to name the words of captions.
    """

    name: str
    number: int
    epochs: int
    learning_rate: float
    dropout: float
    on_photos: bool = False
    trains_encoder: bool = False
    self_critical: bool = False
    start_share: float = 0.0
    tagging: bool = False


# Of whole numbers that may be 0, and of fractions that are no shares; others are at least 1, or at most.
_BOUNDS = dict.fromkeys(
    ("tagging_epochs", "finetune_epochs", "scst_epochs", "warmup_steps", "least_steps", "patience_steps", "views"),
    (0, math.inf),
) | {
    "attention_entropy": (0, math.inf),
    "clip_norm": (1e-6, math.inf),
    "dropout": (0, 0.95),
    "image_size": (32, 1024),
    "label_smoothing": (0, 0.95),
    "learning_rate": (1e-8, 1),
    "scst_dropout": (0, 0.95),
    "scst_meteor_weight": (0, math.inf),
    "scst_samples": (2, math.inf),
}


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run; those in the first block are flags of train.py, `--set` reaches all."""

    start_from: str | None = None  # the model folder whose encoder, decoder and vocabulary training begins with
    encoder: str = "vgg16"
    encoder_weights: str = "imagenet"
    image_size: int = 224
    epochs: int = 12
    batch_size: int = 32  # photos, each with its captions
    learning_rate: float = 1e-3  # at its peak
    min_word_count: int = 5
    finetune_encoder: str | None = None  # the encoder's layers above this one are trained too
    tagging_epochs: int = 10  # of the encoder alone before the decoder, and of both after it; 0 leaves the stage out
    finetune_epochs: int = 8
    views: int = (
        0  # of a training photo, cached below `finetune_encoder`, 2 or more; 0 varies photos anew at every step
    )
    scst_epochs: int = 0  # of self-critical training, at the end
    precision: str = "auto"  # "float32" or "bfloat16" products; "auto" takes what this machine is made for

    layer: str | None = None  # of the encoder; None is its own default
    units: int = 512
    attention_units: int = 512
    embedding_size: int = 256
    value_size: int | None = None  # of regions as the LSTM and the output see them; None is the encoder's channels
    grounded: bool = False  # words are told from what is looked at, as in `AttentionDecoder`
    max_words: int = 16  # longer captions are cut: 7 % of Flickr8k's
    captions_per_photo: int = 5
    dropout: float = 0.4
    label_smoothing: float = 0.1
    weight_decay: float = 0.01
    warmup_steps: int = 100
    averaging: float = 0.997  # momentum of the averaged weights
    clip_norm: float = 5.0
    attention_entropy: float = 0.0  # weight of the attention's entropy, in nats, in the loss; narrows the attention
    least_steps: int = 0  # of the decoder stage: it has more than `epochs` where these would be fewer steps
    beam_size: int = 3  # of the validation captions
    consensus: bool = True  # captions that a beam finds are ranked by the words that people would use, too
    patience: int = 4  # epochs without a better validation score before a stage stops,
    patience_steps: int = 100  # and steps, which counts where an epoch has few

    tagging_learning_rate: float = 4e-4  # of the encoder and of the linear layer on top
    finetune_learning_rate: float = 5e-4
    scst_learning_rate: float = 1e-4
    scst_samples: int = 5  # captions drawn for each photo
    scst_meteor_weight: float = 2.0  # of METEOR in the reward, beside CIDEr-D
    scst_dropout: float = 0.0
    scst_start_share: float = 0.5  # of the weights before it in those that are kept

    def check(self) -> None:
        """Raise InputError unless every value is one that can be trained with."""
        for field in fields(self):
            value, bounds = getattr(self, field.name), _BOUNDS.get(field.name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                low, high = bounds or ((0, 1) if field.type is float else (1, math.inf))
                # Written so that nan is refused too.
                if not low <= value <= high:
                    raise InputError(f"{field.name} {value}: must be between {low} and {high}")
        if self.views == 1:
            raise InputError("views 1: give 0, or 2 or more: the first two are the photo and its mirror image")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise InputError(f"precision {self.precision}: choose auto, float32 or bfloat16")

    def stages(self) -> list[Stage]:
        """The stages that this recipe goes through."""
        joint = self.finetune_encoder is not None
        tagging = joint and self.tagging_epochs > 0
        whole = {"on_photos": joint, "trains_encoder": joint}
        stages = []
        if tagging:
            rate = self.tagging_learning_rate
            stages.append(Stage("tagging", 1, self.tagging_epochs, rate, 0.3, **whole, tagging=True))
        varied = tagging or (joint and self.views > 0)
        # A decoder that knows nothing yet would spoil the encoder. Regions of one that is still as it was are cached.
        stages.append(Stage("decoder", 0, self.epochs, self.learning_rate, self.dropout, on_photos=varied))
        if joint and self.finetune_epochs > 0:
            rate = self.finetune_learning_rate
            stages.append(Stage("finetuning", 2, self.finetune_epochs, rate, self.dropout, **whole))
        if self.scst_epochs:
            special = {"self_critical": True, "start_share": self.scst_start_share}
            rate, dropout = self.scst_learning_rate, self.scst_dropout
            stages.append(Stage("self-critical", 3, self.scst_epochs, rate, dropout, **whole, **special))
        return stages


RECIPES = {
    # Regions of a layer that sees little beyond them, so that an object is to be
    # found where it stands. Small, so that it takes minutes.
    "shapes": Recipe(
        encoder_weights="scenes",
        epochs=8,
        batch_size=16,
        learning_rate=2e-3,
        min_word_count=1,
        image_size=112,
        layer="block4_conv3",
        units=96,
        attention_units=128,
        embedding_size=64,
        value_size=256,
        grounded=True,
        attention_entropy=0.0075,
        max_words=10,
        dropout=0.0,
        label_smoothing=0.1,
        patience=9,
        consensus=False,
    ),
    "flickr8k": Recipe(),
    "flickr30k": Recipe(),
    "coco": Recipe(),
    "custom": Recipe(least_steps=300),  # one's own photos, which may be few
}

# Of a run that starts from a trained model, unless other values are given. Small steps, since much is known already.
STARTED = {
    "learning_rate": 3e-4, "batch_size": 8, "min_word_count": 2, "tagging_epochs": 0, "least_steps": 100,
    "patience_steps": 30,
}  # fmt: skip

# What a run that starts from a trained model takes from that model.
INHERITED = (
    "encoder", "encoder_weights", "image_size", "layer", "units", "attention_units", "embedding_size", "value_size",
    "grounded", "max_words",
)  # fmt: skip
