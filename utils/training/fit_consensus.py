"""Fitting a model's consensus: it predicts the words that people use for a photo, and captions are re-ranked by it."""

from pathlib import Path

from utils.captioner import Captioner
from utils.data.datasets import load_dataset
from utils.data.tokenizer import Tokenizer
from utils.errors import InputError
from utils.evaluation import metrics
from utils.evaluation.evaluate import Split, evaluate_captioner
from utils.features.cache import RegionCache
from utils.features.extraction import cache_regions
from utils.files import exists
from utils.model.consensus import Consensus
from utils.progress import QUIET
from utils.training.fit_confidence import fit_confidence
from utils.training.recipes import Recipe
from utils.training.run_folder import RUN_FILE


def add_consensus(dataset, data_dir, cache_dir, folder, encoder_weights=None, seed=0, reporter=QUIET):
    """Fit the consensus of an existing model, and the confidence that depends on it. Other files stay as they are.

    Args:
        dataset, data_dir, seed: as for `load_dataset`, with the photos that the model was trained on.
        cache_dir: folder of the region caches.
        folder: model folder.
        encoder_weights: as for `Captioner.from_folder`.
        reporter: a Reporter.

    Raises:
        InputError: the folder holds no finished model, or a model of other training photos.
    """
    folder = Path(folder)
    if exists(folder / RUN_FILE):
        raise InputError(f"{folder}: its training was interrupted; --resume continues it, and fits the consensus too")
    captioner = Captioner.from_folder(folder, encoder_weights)
    if captioner.dataset != dataset:
        raise InputError(f"{folder}: was trained on --dataset {captioner.dataset.replace('+', ' ')}; name the same")
    table = load_dataset(dataset, data_dir, seed)
    reporter.say(*table.notes)
    splits = {split: table.split(split) for split in ("train", "val")}
    texts = [text for photo in splits["train"] for text in photo.references]
    least = captioner.training.get("min_word_count", Recipe.min_word_count)
    if Tokenizer.fit(texts, least).words != captioner.tokenizer.words:
        raise InputError(
            f"{folder}: its vocabulary differs from the words of these {len(splits['train'])} training photos; give "
            "--data_dir, and for shapes --seed, as in its training"
        )
    fit_consensus(captioner, folder, splits, cache_dir, seed, reporter)
    captioner.save_consensus(folder)
    # After the consensus, which is one of its features.
    fit_confidence(captioner, folder, splits["val"], cache_dir, reporter)


def fit_consensus(captioner, folder, splits, cache_dir, seed=0, reporter=QUIET, views=None):
    """Fit a Consensus on the training photos and set it as `captioner.consensus`; nothing is written.

    Args:
        captioner: a Captioner.
        folder: its model folder, for messages.
        splits: lists of Photo by split, "train" and "val".
        cache_dir: folder of the region caches.
        seed: seed of the random choice of photos that are kept.
        reporter: a Reporter.
        views: a ViewSource of these photos by the captioner's encoder, which saves extracting the training photos.

    Returns:
        The scores of the validation photos with the consensus, as `score_val` returns them.
    """
    train = [photo for photo in splits["train"] if photo.references]
    if views:
        means = views.means(train, reporter.progress)
    else:
        cache = RegionCache(cache_dir, captioner.dataset, captioner.encoder)
        splits = cache_regions(cache, splits | {"train": train}, reporter)
        train = splits["train"]
        means = cache.means([photo.id for photo in train], reporter.progress)
    captions = [[captioner.tokenizer.encode(text) for text in photo.references] for photo in train]
    captioner.consensus = Consensus.fit(means, captions, len(captioner.tokenizer), seed)
    scores = score_val(captioner, folder, splits["val"], cache_dir, reporter)
    reporter.say(f"with consensus: val CIDEr {scores['CIDEr']:.3f}, BLEU-4 {scores['Bleu_4']:.3f}")
    return scores


def score_val(captioner, folder, photos, cache_dir, reporter=QUIET):
    """Scores of the captions that a captioner writes, with all its re-ranking, of photos with references.

    Args:
        captioner: a Captioner.
        folder: its model folder, for messages.
        photos: a list of Photo; photos without references are left out.
        cache_dir: folder of the region caches.
        reporter: a Reporter.

    Returns:
        A dict: BLEU and CIDEr by pycocoevalcap's names, and the number of `distinct_captions`.
    """
    split = Split(captioner.dataset, "val", [photo for photo in photos if photo.references], [])
    beam_sizes = (captioner.training.get("beam_size", Recipe.beam_size),)
    (result,) = evaluate_captioner(split, captioner, str(folder), cache_dir, beam_sizes, reporter)
    scores = metrics.score(result.references, result.captions, ("Bleu", "CIDEr")).corpus
    return scores | {"distinct_captions": len(set(result.captions.values()))}
