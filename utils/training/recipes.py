"""What is trained by default for each dataset: one recipe each, found on its `val` split."""

from dataclasses import dataclass


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


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run; those in the first block are flags of train.py."""

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
    scst_epochs: int = 0  # of self-critical training, at the end

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
    beam_size: int = 3  # of the validation captions
    consensus: bool = True  # captions that a beam finds are ranked by the words that people would use, too
    patience: int = 4  # epochs without a better CIDEr before a stage stops

    tagging_learning_rate: float = 4e-4  # of the encoder and of the linear layer on top
    finetune_learning_rate: float = 5e-4
    scst_learning_rate: float = 1e-4
    scst_samples: int = 5  # captions drawn for each photo
    scst_meteor_weight: float = 2.0  # of METEOR in the reward, beside CIDEr-D
    scst_dropout: float = 0.0
    scst_start_share: float = 0.5  # of the weights before it in those that are kept

    def stages(self) -> list[Stage]:
        """The stages that this recipe goes through."""
        joint = self.finetune_encoder is not None
        tagging = joint and self.tagging_epochs > 0
        whole = {"on_photos": joint, "trains_encoder": joint}
        stages = []
        if tagging:
            rate = self.tagging_learning_rate
            stages.append(Stage("tagging", 1, self.tagging_epochs, rate, 0.3, **whole, tagging=True))
        # A decoder that knows nothing yet would spoil the encoder. Regions of one that is still as it was are cached.
        stages.append(Stage("decoder", 0, self.epochs, self.learning_rate, self.dropout, on_photos=tagging))
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
        max_words=10,
        dropout=0.0,
        label_smoothing=0.1,
        patience=9,
        consensus=False,
    ),
    "flickr8k": Recipe(),
    "flickr30k": Recipe(),
    "coco": Recipe(),
    "custom": Recipe(),  # one's own photos
}
