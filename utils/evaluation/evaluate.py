"""Evaluate the captions of a split by scores and statistics. The script evaluate.py calls these functions."""

import time
from dataclasses import dataclass, field
from functools import cached_property

from utils.data import shapes
from utils.data.datasets import load_dataset
from utils.evaluation import (
    attention_on_boxes,
    attention_quality,
    baselines,
    bootstrap,
    clipscore,
    coco_results,
    confidence_quality,
    diversity,
    metrics,
)
from utils.model.caption import empty_note
from utils.progress import QUIET

# Photos per batch of the search.
_BATCH_PHOTOS = 50


@dataclass
class Split:
    """Hold a split of a dataset, such as the validation photos, with the photos' references (captions by people).

    Args:
        dataset: name of the dataset.
        name: name of the split, such as "val".
        photos: list of Photo. Their files may be missing.
        training: captions of the training photos, a list of strings.
        scenes: a dict from photo id to shapes.Scene, a generated picture; empty for all datasets except `shapes`.
    """

    dataset: str
    name: str
    photos: list
    training: list
    scenes: dict = field(default_factory=dict)

    @property
    def references(self):
        """Return a dict from photo id to a list of the photo's references, the captions by people."""
        return {photo.id: list(photo.references) for photo in self.photos}

    def describe(self):
        """Return a line of text: dataset, name, number of photos, references per photo and tokenisation."""
        counts = {len(texts) for texts in self.references.values()}
        each = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
        return f"{self.dataset} {self.name}: {len(self.photos)} photos, {each} references a photo, Penn Treebank words"


@dataclass
class Evaluation:
    """Hold the captions of a split, and compute their scores and statistics.

    Scores, statistics and intervals are computed when they are first read, because METEOR takes seconds.

    Args:
        name: name of the captioner: its model folder, or the file of the captions.
        beam_size: number of hypotheses that beam search kept; None for captions from a file.
        captions: a dict from photo id to caption, a string.
        references: a dict from photo id to a list of captions by people.
        training: captions of the training photos, a list of strings.
        written: a dict from photo id to Caption, which has attention; empty for captions from a file.
        attention: a dict of statistics that say how far attention spreads, such as `entropy`; empty for captions from a
            file.
        scene_scores: a dict of scores that say how well captions agree with the objects in the generated pictures of
            the dataset `shapes`, such as `recall`; empty for other datasets.
        word_kinds: how much attention lies on the objects in these pictures: a dict from kind of word, such as
            "colour", to a dict of scores, such as `pointing`; empty for other datasets.
        on_boxes: how much attention lies in boxes that people drew around objects: a dict from kind of word, such as
            "animals", to a dict of scores, such as `pointing`; empty until `add_boxes` is called.
        boxes: a dict from photo id to PhotoBoxes, the boxes that people drew on the photo; empty until `add_boxes` is
            called.
    """

    name: str
    beam_size: int | None
    captions: dict
    references: dict
    training: list
    written: dict = field(default_factory=dict)
    attention: dict = field(default_factory=dict)
    scene_scores: dict = field(default_factory=dict)
    word_kinds: dict = field(default_factory=dict)
    on_boxes: dict = field(default_factory=dict)
    boxes: dict = field(default_factory=dict)

    @property
    def title(self):
        """Return the name of the captioner with the beam size, such as "models/flickr8k, beam 3"."""
        return f"{self.name}, beam {self.beam_size}" if self.beam_size else self.name

    @cached_property
    def scores(self):
        """Compute BLEU, CIDEr and the other scores of the captions. Returns a metrics.Scores."""
        return metrics.score(self.references, self.captions)

    @cached_property
    def statistics(self):
        """Compute statistics of the captions, such as length and vocabulary. Returns a dict from name to number."""
        return diversity.describe(list(self.captions.values()), self.training)

    @cached_property
    def confidence(self):
        """Measure how good the captions' confidence is. Returns a dict of measures, empty without confidence."""
        return confidence_quality.score_confidence(*self.sure) if self.sure else {}

    @property
    def sure(self):
        """Return the confidences and the CIDErs of all captions, a pair; None if the captions have no confidence."""
        confidence = [self.written[i].confidence if i in self.written else None for i in self.scores.ids]
        return None if None in confidence or not confidence else (confidence, self.scores.images["CIDEr"])

    @cached_property
    def intervals(self):
        """Compute the 95 % bootstrap intervals of the scores: a dict from score name to (low, high)."""
        return bootstrap.intervals(self.scores)

    def describe_scenes(self):
        """Return lines of text that say how well captions and attention agree with objects in generated pictures."""
        scores = self.scene_scores
        return [
            f"  {scores['right']:.1%} of {scores['mentions']} mentions have colour and shape right",
            f"  {scores['recall']:.1%} of the objects are mentioned",
            f"  {scores['attention_gain']:.1f} times uniform attention lies in the mentioned object's box",
            f"  {scores['pointing']:.1%} of attention peaks lie in it",
        ]

    def as_dict(self):
        """Return scores and statistics as a dict for a JSON file.

        The scores of all photos together are on its top level.
        """
        return (
            self.scores.corpus
            | self.scene_scores
            | {
                "name": str(self.name),
                "beam_size": self.beam_size,
                "intervals": self.intervals,
                "statistics": self.statistics,
                "attention": self.attention,
                "word_kinds": self.word_kinds,
                "attention_on_boxes": self.on_boxes,
                "confidence": self.confidence,
            }
        )


def open_split(dataset, data_dir, name="val", seed=0, with_photos=True, reporter=QUIET):
    """Read a split of a dataset for evaluation.

    Args:
        dataset: name of the dataset, such as "flickr8k".
        data_dir: folder of the dataset, a str or Path.
        name: name of the split: "train", "val" or "test". The dataset `shapes` also has "unseen".
        seed: random seed of the scenes of the dataset `shapes`.
        with_photos: True to leave out photos whose files are missing; False if the files are not needed.
        reporter: a Reporter, which shows lines and progress bars.

    Returns:
        A Split. Photos without references (captions by people) are left out.
    """
    table = load_dataset(dataset, data_dir, seed, with_photos)
    reporter.say(*table.notes)
    photos = table.split(name)
    mute = [photo.id for photo in photos if not photo.references]
    if mute:
        reporter.say(f"{len(mute)} photos of split {name} have no references and are not scored, such as {mute[0]}")
        photos = [photo for photo in photos if photo.references]
    training = [text for photo in table.photos if photo.split == "train" for text in photo.references]
    scenes = {scene.id: scene for scene in shapes.load_scenes(data_dir, seed)} if dataset == "shapes" else {}
    return Split(dataset, name, photos, training, scenes)


def evaluate_model(split, model, cache_dir, beam_sizes=(3,), encoder_weights=None, consensus=True, reporter=QUIET):
    """Caption the photos of a split with a model, once for each beam size.

    Args:
        split: a Split. Photos that cannot be read are removed from it and reported.
        model: model folder.
        cache_dir: folder of the caches that store the encoder's outputs.
        beam_sizes: numbers of hypotheses that beam search keeps, a list or tuple of int.
        encoder_weights: "imagenet", "random", or the path of the encoder's weights; None: those of the model folder.
        consensus: False to rank captions by probability alone. True to rank them also by how well they agree with the
            words that people would use, if the model has a Consensus, which predicts these words.
        reporter: a Reporter, which shows lines and progress bars.

    Yields:
        An Evaluation for each beam size: the captions, with their scores and statistics.
    """
    from utils.captioner import Captioner

    captioner, name = Captioner.from_folder(model, encoder_weights), str(model)
    if not consensus:
        captioner.consensus = None
        name += " without consensus"
    yield from evaluate_captioner(split, captioner, name, cache_dir, beam_sizes, reporter)


def evaluate_captioner(split, captioner, name, cache_dir, beam_sizes=(3,), reporter=QUIET):
    """Caption the photos of a split with a Captioner, once for each beam size.

    Args:
        split: a Split. Photos that cannot be read are removed from it and reported.
        captioner: a Captioner.
        name: name of the captioner in the results.
        cache_dir: folder of the caches that store the encoder's outputs.
        beam_sizes: numbers of hypotheses that beam search keeps, a list or tuple of int.
        reporter: a Reporter, which shows lines and progress bars.

    Yields:
        An Evaluation for each beam size: the captions, with their scores and statistics.
    """
    from utils.features.cache import RegionCache
    from utils.features.extraction import cache_regions

    cache = RegionCache(cache_dir, split.dataset, captioner.encoder)
    split.photos = cache_regions(cache, {split.name: split.photos}, reporter)[split.name]
    for beam_size in beam_sizes:
        start = time.perf_counter()
        captions = _caption(captioner, cache, split.photos, beam_size, reporter.progress)
        reporter.say(
            f"{name}, beam {beam_size}: {len(captions)} photos captioned in {time.perf_counter() - start:.0f} s"
        )
        if note := empty_note(sum(not caption.words for caption in captions), len(captions)):
            reporter.say(f"{name}, beam {beam_size}: {note}")
        written = {photo.id: caption for photo, caption in zip(split.photos, captions)}
        result = _evaluate(split, name, {i: caption.text for i, caption in written.items()}, beam_size)
        result.written, result.attention = written, attention_quality.spread(captions)
        if split.scenes:
            scenes = [split.scenes[photo.id] for photo in split.photos]
            result.scene_scores = shapes.score_captions(scenes, captions)
            result.word_kinds = attention_quality.by_word_kind(scenes, captions)
        yield result


def _caption(captioner, cache, photos, beam_size, progress):
    captions = []
    with progress(total=len(photos), unit="photo", desc=f"captions, beam {beam_size}") as bar:
        for i in range(0, len(photos), _BATCH_PHOTOS):
            batch = photos[i : i + _BATCH_PHOTOS]
            regions = cache.stack([photo.id for photo in batch])
            captions += captioner.caption_regions([p.path for p in batch], regions, beam_size, _BATCH_PHOTOS)
            bar.update(len(batch))
    return captions


def _evaluate(split, name, captions, beam_size=None):
    return Evaluation(name, beam_size, captions, split.references, split.training)


def evaluate_captions(split, path, reporter=QUIET):
    """Read captions from a file and match them to the photos of a split. Model and photo files are not needed.

    Args:
        split: a Split.
        path: JSON file with captions, such as [{"image_id": 5, "caption": "A dog."}].
        reporter: a Reporter, which shows lines and progress bars.

    Returns:
        An Evaluation: the captions, with their scores and statistics.
    """
    captions = coco_results.match(coco_results.read_results(path), split.references, reporter.say)
    return _evaluate(split, str(path), captions)


def evaluate_neighbours(split, model, data_dir, cache_dir, seed=0, encoder_weights=None, reporter=QUIET):
    """Give each photo of a split the caption of a similar training photo, as a baseline.

    Photos are compared by the outputs of a model's encoder. The outputs for the split's photos must be in the cache
    already. The outputs for the training photos are added to the cache if they are missing.

    Args:
        split: a Split.
        model: model folder.
        data_dir: folder of the dataset.
        cache_dir: folder of the caches that store the encoder's outputs.
        seed: random seed of the scenes of the dataset `shapes`.
        encoder_weights: "imagenet", "random", or the path of the encoder's weights; None: those of the model folder.
        reporter: a Reporter, which shows lines and progress bars.

    Returns:
        An Evaluation: the captions, with their scores and statistics.
    """
    from utils.captioner import Captioner
    from utils.features.cache import RegionCache
    from utils.features.extraction import cache_regions

    captioner = Captioner.from_folder(model, encoder_weights)
    cache = RegionCache(cache_dir, split.dataset, captioner.encoder)
    training = load_dataset(split.dataset, data_dir, seed).split("train")
    training = cache_regions(cache, {"train": training}, reporter)["train"]
    captions = baselines.nearest_neighbour_captions(cache, split.photos, training)
    return _evaluate(split, f"nearest neighbours by {captioner.encoder.name}", captions)


def add_boxes(split, result, boxes):
    """Measure how much of the attention of a model's captions lies in the boxes that people drew around objects.

    The scores are stored as `result.on_boxes`, and the boxes of each photo as `result.boxes`.

    Args:
        split: the Split that was captioned.
        result: the Evaluation of the captions, which a model has written.
        boxes: a dict from a photo's file name or id to its PhotoBoxes, the objects of the photo with their boxes.
    """
    photos = [photo for photo in split.photos if photo.id in result.written]
    result.on_boxes = attention_on_boxes.score_captions(photos, [result.written[p.id] for p in photos], boxes)
    found = {photo.id: attention_on_boxes.find(boxes, photo) for photo in photos}
    result.boxes = {photo_id: own for photo_id, own in found.items() if own}


def add_clip_scores(split, result, clip):
    """Compute CLIPScore and RefCLIPScore, and add them to the dict `result.statistics`.

    Args:
        split: a Split.
        result: Evaluation of captions of the split.
        clip: two functions, which `clipscore.load_clip` makes. They convert photos and texts to vectors.
    """
    photos = [photo for photo in split.photos if photo.id in result.captions]
    result.statistics["clipscore"], result.statistics["ref_clipscore"] = clipscore.clip_scores(
        [photo.path for photo in photos],
        [result.captions[photo.id] for photo in photos],
        [list(photo.references) for photo in photos],
        clip,
    )
