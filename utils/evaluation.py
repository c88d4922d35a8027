"""A model's captions for a split of a dataset, with their scores: what evaluate.py calls."""

import time
from dataclasses import dataclass

from utils import metrics, shapes
from utils.captioner import Captioner
from utils.datasets import load_dataset
from utils.features import RegionCache
from utils.pipeline import cache_regions
from utils.progress import silent

# Photos that are decoded together.
_BATCH_PHOTOS = 50


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Args:
        heading: says on what: dataset, split, photos, references, words, beam.
        captions: sentence by image id.
        scores: as `metrics.evaluate` gives them.
        scene_scores: for `shapes`, as `shapes.score_captions` gives them.
    """

    heading: str
    captions: dict
    scores: dict
    scene_scores: dict

    def describe_scenes(self):
        """`scene_scores` in words, a line each."""
        scores = self.scene_scores
        return "\n".join(
            [
                f"  {scores['right']:.1%} of {scores['mentions']} mentions have colour and shape right",
                f"  {scores['recall']:.1%} of the objects are mentioned",
                f"  {scores['attention_gain']:.1f} times uniform attention lies in the mentioned object's box",
                f"  {scores['pointing']:.1%} of attention peaks lie in it",
            ]
        )


def evaluate_model(
    model,
    dataset,
    data_dir,
    cache_dir,
    split="val",
    beam_size=3,
    seed=0,
    encoder_weights=None,
    say=lambda line: None,
    progress=silent,
):
    """Caption a split and score the captions.

    Args:
        model: the model folder.
        dataset, data_dir: name and folder of the dataset.
        cache_dir: folder of the region caches.
        split: "train", "val" or "test"; `shapes` also has "unseen".
        beam_size: hypotheses kept.
        seed: of the scenes of `shapes`.
        encoder_weights: as for `Captioner.from_folder`.
        say: called with lines for a person.
        progress: called as tqdm is.

    Returns:
        An Evaluation.
    """
    table = load_dataset(dataset, data_dir, seed)
    for note in table.notes:
        say(note)
    photos = table.split(split)
    captioner = Captioner.from_folder(model, encoder_weights)
    cache = RegionCache(cache_dir, dataset, captioner.encoder)
    photos = cache_regions(cache, {split: photos}, say, progress)[split]

    start = time.perf_counter()
    captions = []
    with progress(total=len(photos), unit="photo", desc="captions") as bar:
        for i in range(0, len(photos), _BATCH_PHOTOS):
            batch = photos[i : i + _BATCH_PHOTOS]
            regions = cache.stack([photo.id for photo in batch])
            captions += captioner.caption_regions([p.path for p in batch], regions, beam_size, _BATCH_PHOTOS)
            bar.update(len(batch))
    seconds = time.perf_counter() - start
    say(f"{len(photos)} photos captioned in {seconds:.0f} s")

    counts = {len(photo.references) for photo in photos}
    references = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
    heading = (
        f"{model} on {dataset} {split}: {len(photos)} photos, {references} references a photo, Penn Treebank words, "
        f"beam {beam_size}, {len({c.text for c in captions})} distinct captions"
    )
    texts = {photo.id: caption.text for photo, caption in zip(photos, captions)}
    scores = metrics.evaluate({photo.id: list(photo.references) for photo in photos}, texts)
    scene_scores = {}
    if dataset == "shapes":
        scenes = {scene.id: scene for scene in shapes.load_scenes(data_dir, seed)}
        scene_scores = shapes.score_captions([scenes[photo.id] for photo in photos], captions)
    return Evaluation(heading, texts, scores, scene_scores)
