"""Fit a model's consensus, which predicts the words that people would use for a photo and re-ranks captions by them."""

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
    """Fit the Consensus and the Confidence of an existing model, and write both into the model folder.

    The Consensus predicts the words that people would use for a photo, and ranks captions by them. The Confidence
    computes the probability that a caption is right. The Confidence depends on the Consensus, so it is fitted again,
    too. Other files of the folder do not change.

    Args:
        dataset: name of the dataset that the model was trained on.
        data_dir: folder of the dataset; for several datasets, a list of folders.
        cache_dir: folder of the caches that store the encoder's outputs.
        folder: model folder.
        encoder_weights: "imagenet", "random", or the path of a file with the encoder's weights. None: the weights that
            config.json in the model folder names.
        seed: random seed, also of the scenes of the dataset `shapes`.
        reporter: a Reporter, which shows lines and progress bars.

    Raises:
        InputError: the folder holds no finished model, or the model was trained on other photos.
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
    # Fit the confidence last: the consensus is one of its features.
    fit_confidence(captioner, folder, splits["val"], cache_dir, reporter)


def fit_consensus(captioner, folder, splits, cache_dir, seed=0, reporter=QUIET, views=None):
    """Fit a Consensus on the training photos, set it as `captioner.consensus`, and score validation captions.

    A Consensus predicts the words that people would use for a photo, and ranks captions by them. The model folder does
    not change. Missing outputs of the encoder are added to the cache.

    Args:
        captioner: a Captioner.
        folder: model folder of the captioner. Messages name it.
        splits: a dict from split name, "train" and "val", to a list of Photo.
        cache_dir: folder of the caches that store the encoder's outputs.
        seed: random seed of the choice of training photos that the consensus stores.
        reporter: a Reporter, which shows lines and progress bars.
        views: ViewSource with cached variations of these photos, from which the regions of the training photos are
            computed. None: these regions are read from the cache, or computed from the photos.

    Returns:
        The validation scores with the consensus: a dict with "Bleu_1" to "Bleu_4", "CIDEr" and "distinct_captions".
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
    """Caption the validation photos with a Captioner, and score the captions.

    If the captioner has a Consensus, its captions are ranked by the words that people would use.

    Args:
        captioner: a Captioner.
        folder: model folder of the captioner. Messages name it.
        photos: the validation photos, a list of Photo. Photos without references are left out.
        cache_dir: folder of the caches that store the encoder's outputs.
        reporter: a Reporter, which shows lines and progress bars.

    Returns:
        A dict with the scores "Bleu_1" to "Bleu_4" and "CIDEr", and the number of "distinct_captions".
    """
    split = Split(captioner.dataset, "val", [photo for photo in photos if photo.references], [])
    beam_sizes = (captioner.training.get("beam_size", Recipe.beam_size),)
    (result,) = evaluate_captioner(split, captioner, str(folder), cache_dir, beam_sizes, reporter)
    scores = metrics.score(result.references, result.captions, ("Bleu", "CIDEr")).corpus
    return scores | {"distinct_captions": len(set(result.captions.values()))}
