"""Define recipes: the training settings for each dataset, chosen by the scores on its validation photos."""

import math
from dataclasses import dataclass, fields

from utils.errors import InputError


@dataclass(frozen=True)
class Stage:
    """Describe a stage of a training run. Stages differ in their objective and their data.

    Args:
        name: "tagging", "decoder", "finetuning" or "self-critical".
        number: number from which the random seed of the stage is computed, so that each stage has another seed.
        epochs: largest number of epochs.
        learning_rate: peak learning rate.
        dropout: dropout rate of the decoder.
        on_photos: True if the inputs are photos with random variations; False if they are cached regions.
        trains_encoder: True if the encoder is trained.
        self_critical: True to maximise a reward; False to maximise the likelihood of the captions by people.
        start_share: weight of the stage's initial weights in the kept weights, 0 to 1. The kept weights are
            `start_share` × initial weights + (1 − `start_share`) × trained weights.
        tagging: True if the encoder alone is trained, to predict the words of the captions.
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


# Smallest and largest values of the fields. In fields that are not listed, whole numbers must be 1 or more, and other
# numbers must be between 0 and 1.
_BOUNDS = dict.fromkeys(
    (
        "epochs",
        "tagging_epochs",
        "finetune_epochs",
        "scst_epochs",
        "warmup_steps",
        "least_steps",
        "least_epoch_steps",
        "patience_steps",
        "views",
    ),
    (0, math.inf),
) | {
    "attention_entropy": (0, math.inf),
    "attention_sharpness": (0.1, 10),
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
    """Hold the settings of a training run.

    The first fields, down to `precision`, are those that users change most. Each of them except `views` has its own
    flag in train.py, such as `--encoder`. The flag `--set` changes any field except `start_from`.

    Example:
        dataclasses.replace(RECIPES["flickr8k"], encoder="mobilenet", epochs=20)
    """

    start_from: str | None = None  # model folder whose encoder, decoder and vocabulary training starts from
    encoder: str = "vgg16"  # name of the encoder: vgg16, vgg19, mobilenet or resnet50
    encoder_weights: str = "imagenet"  # initial weights: "imagenet", "scenes", "random" or an .h5 file
    image_size: int = 224  # side of the photos in pixels
    epochs: int = 12  # maximum epochs of the decoder stage; 0, with a `start_from`, leaves it out
    batch_size: int = 32  # photos per step, each with all its captions
    learning_rate: float = 1e-3  # peak learning rate of the decoder stage
    min_word_count: int = 5  # rarer words of the training captions are left out of the vocabulary
    finetune_encoder: str | None = None  # layer of the encoder; the layers above it are trained too
    tagging_epochs: int = 10  # maximum epochs of the tagging stage, before the decoder stage; 0 leaves it out
    finetune_epochs: int = 8  # maximum epochs of the fine-tuning stage, after the decoder stage; 0 leaves it out
    views: int = 0  # cached variations per training photo, 2 or more; 0: new ones at every step, as in the last stage
    scst_epochs: int = 0  # maximum epochs of the self-critical stage, the last one; 0 leaves it out
    precision: str = "auto"  # of matrix products: "float32", "bfloat16", or "auto": bfloat16 if the hardware has it

    layer: str | None = None  # layer of the encoder whose output are the regions; None: the encoder's default
    units: int = 512  # units of the LSTM
    attention_units: int = 512  # units of the attention layer
    embedding_size: int = 256  # length of a word's embedding
    value_size: int | None = None  # length to which the decoder projects the region vectors; None: no projection
    grounded: bool = False  # whether each word depends mainly on the attended region, as in `AttentionDecoder`
    max_words: int = 16  # longer captions are cut (7 % of those in Flickr8k)
    captions_per_photo: int = 5  # captions of each photo in a batch
    dropout: float = 0.4  # dropout rate of the decoder
    label_smoothing: float = 0.1  # share of the target probability that is spread over all words
    weight_decay: float = 0.01  # weight decay of AdamW
    warmup_steps: int = 100  # steps until the learning rate reaches its peak
    averaging: float = 0.997  # momentum of the averaged weights
    clip_norm: float = 5.0  # largest norm of the gradient of all weights; longer gradients are scaled down
    attention_entropy: float = 0.0  # weight of the attention's entropy (in nats) in the loss; it narrows the attention
    # After the decoder stage, the attention's energies are multiplied by this. Above 1 it attends to fewer regions.
    attention_sharpness: float = 1.0
    least_steps: int = 0  # minimum steps of the decoder stage; if needed, it gets more epochs than `epochs`
    # Minimum steps of an epoch. If photos are few, each occurs several times in an epoch, so that validation, once per
    # epoch, does not take longer than training.
    least_epoch_steps: int = 0
    beam_size: int = 5  # hypotheses of the beam search that writes validation captions
    consensus: bool = True  # whether captions are re-ranked by the words that people are predicted to use
    patience: int = 4  # a stage stops after this many epochs without a better validation score, …
    patience_steps: int = 100  # … but not before this many steps without one

    tagging_learning_rate: float = 4e-4  # peak learning rate of the tagging stage
    finetune_learning_rate: float = 5e-4  # peak learning rate of the fine-tuning stage
    scst_learning_rate: float = 1e-4  # peak learning rate of the self-critical stage
    scst_samples: int = 5  # sampled captions per photo in the self-critical stage
    scst_meteor_weight: float = 2.0  # weight of METEOR in the reward, added to CIDEr-D
    scst_dropout: float = 0.0  # dropout rate of the decoder in the self-critical stage
    scst_start_share: float = 0.5  # share of the weights before the self-critical stage in the weights that are kept

    def check(self) -> None:
        """Raise InputError if a setting has an invalid value."""
        for field in fields(self):
            value, bounds = getattr(self, field.name), _BOUNDS.get(field.name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                low, high = bounds or ((0, 1) if field.type is float else (1, math.inf))
                # nan fails this comparison and is refused too.
                if not low <= value <= high:
                    raise InputError(f"{field.name} {value}: must be between {low} and {high}")
        if self.views == 1:
            raise InputError("views 1: must be 0, or 2 or more; the first two are the photo and its mirror image")
        names = [stage.name for stage in self.stages()]
        if not self.epochs and (not self.start_from or "tagging" in names):
            raise InputError("epochs 0: there must be a trained decoder; add --start_from, and --tagging_epochs 0")
        if not names:
            raise InputError("epochs 0: nothing is trained; add --finetune_encoder, or --scst_epochs")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise InputError(f"precision {self.precision}: choose auto, float32 or bfloat16")

    def stages(self) -> list[Stage]:
        """Return the stages of this recipe in the order of training."""
        joint = self.finetune_encoder is not None
        tagging = joint and self.tagging_epochs > 0
        whole = {"on_photos": joint, "trains_encoder": joint}
        stages = []
        if tagging:
            rate = self.tagging_learning_rate
            stages.append(Stage("tagging", 1, self.tagging_epochs, rate, 0.3, **whole, tagging=True))
        varied = tagging or (joint and self.views > 0)
        # The encoder is frozen in this stage, because an untrained decoder would spoil its weights. If the encoder was
        # not trained before, this stage trains on cached regions.
        if self.epochs:
            stages.append(Stage("decoder", 0, self.epochs, self.learning_rate, self.dropout, on_photos=varied))
        if joint and self.finetune_epochs > 0:
            rate = self.finetune_learning_rate
            stages.append(Stage("finetuning", 2, self.finetune_epochs, rate, self.dropout, **whole))
        if self.scst_epochs:
            special = {"self_critical": True, "start_share": self.scst_start_share}
            rate, dropout = self.scst_learning_rate, self.scst_dropout
            stages.append(Stage("self-critical", 3, self.scst_epochs, rate, dropout, **whole, **special))
        return stages


# A dict from dataset name to Recipe. `Recipe()` means the values of the class above. With --start_from,
# START_FROM_DEFAULTS replace some values of any recipe; "custom" uses --start_from by default.
RECIPES = {
    # The regions come from a lower layer, which has a small receptive field, so that attention can locate objects. The
    # decoder is small, so that training takes minutes.
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
    "custom": Recipe(least_steps=300, least_epoch_steps=10),  # your own photos, which may be few
}

# Values that replace those of the recipe in a run with --start_from, unless the user gives others. The steps are small
# because the model is trained already.
START_FROM_DEFAULTS = {
    "learning_rate": 3e-4, "batch_size": 8, "min_word_count": 1, "tagging_epochs": 0, "least_steps": 300,
}  # fmt: skip

# Fields whose values a run with --start_from takes from the model that it starts from.
INHERITED = (
    "encoder", "encoder_weights", "image_size", "layer", "units", "attention_units", "embedding_size", "value_size",
    "grounded", "max_words",
)  # fmt: skip
