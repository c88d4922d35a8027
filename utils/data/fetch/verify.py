"""Verify a dataset: decode all photos, count all captions, and search for known faults."""

import hashlib
import os
from collections import Counter, defaultdict, namedtuple
from concurrent.futures import ThreadPoolExecutor

from utils.data.datasets import SPLITS
from utils.data.images import open_photo
from utils.data.photo_files import is_photo
from utils.data.tokenizer import split_words
from utils.errors import ImageError, first_lines
from utils.progress import silent

# From each dataset to the published numbers of photos in train, val and test. The splits of the dataset's authors and
# those of Karpathy have different numbers.
_PUBLISHED = {
    "flickr8k": [(6000, 1000, 1000)],
    "flickr30k": [(29000, 1014, 1000), (29783, 1000, 1000)],
    "coco": [(113287, 5000, 5000), (118287, 5000, 0), (82783, 40504, 0)],
}

# The result of reading a photo: the error as text or None, True if the photo is grey, and the SHA-256 of the file or
# None.
_Check = namedtuple("_Check", "error grey digest")


def _check(photo):
    """Read the file of a Photo, and return a _Check: the error if it is damaged, whether it is grey, and its hash."""
    try:
        grey = open_photo(photo.path, at_least=64).info["mode"] in ("1", "L", "LA", "I;16")
        return _Check(None, grey, hashlib.sha256(photo.path.read_bytes()).digest())
    except (ImageError, OSError) as error:
        return _Check(str(error), False, None)


def verify(table, min_word_count=5, progress=silent):
    """Check all photos and captions of a dataset.

    Args:
        table: a Dataset, the photos with their captions and splits.
        min_word_count: a word that occurs fewer times in the training captions does not belong to the vocabulary.
        progress: a function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        A report: a dict that can be written as JSON. The main keys are:
            splits: a dict from each split to a dict of counts.
            vocabulary: a dict with the size of the vocabulary.
            missing, grey: lists of photos' ids.
            damaged: a dict from a photo's id to the error.
            duplicates: a list of groups. A group is a list of (split, id) of
                photos that have the same content, but are in different splits.
    """
    checks = {}
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress(total=len(table.photos), unit="photo", desc="verifying") as bar,
    ):
        for photo, check in zip(table.photos, pool.map(_check, table.photos)):
            checks[photo.id] = check
            bar.update()
    here = {split: _word_counts(table.photos, split) for split in SPLITS}
    training = here["train"]
    vocabulary = {word for word, count in training.items() if count >= min_word_count}
    listed = [sum(photo.split == split for photo in table.photos + table.missing) for split in SPLITS]
    published = _PUBLISHED.get(table.name)
    return {
        "dataset": table.name,
        "captions_from": [str(path) for path in table.files],
        "notes": table.notes,
        "as_published": tuple(listed) in published if published else None,
        "splits": {split: _split_report(table, split, checks, here[split], vocabulary) for split in SPLITS},
        "vocabulary": {"min_word_count": min_word_count, "words": len(vocabulary), "seen": len(training)},
        "missing": [photo.id for photo in table.missing],
        "damaged": {name: check.error for name, check in checks.items() if check.error},
        "grey": [name for name, check in checks.items() if check.grey],
        "duplicates": _duplicates(table.photos, checks),
        "in_no_split": table.in_no_split,
        "no_photo_names": [name for name in table.in_no_split if not is_photo(name)],
        "without_caption": table.uncaptioned,
    }


def _word_counts(photos, split):
    """Count how often each word occurs in the captions of one split. Returns a Counter.

    `photos` is a list of Photo, and `split` is "train", "val" or "test".
    """
    captions = (text for photo in photos if photo.split == split for text in photo.references)
    return Counter(word for text in captions for word in split_words(text))


def _split_report(table, split, checks, words_here, vocabulary):
    """Count the photos, captions and words of one split.

    Args:
        table: a Dataset, the photos with their captions and splits.
        split: the name of the split, such as "train".
        checks: a dict from the id of each photo to its _Check, the result of reading the file.
        words_here: a Counter of the words in the captions of the split's photos whose files exist.
        vocabulary: the set of words in the vocabulary.

    Returns:
        A dict of counts, and of the share of words that are in the vocabulary, `in_vocabulary`, 0 to 1.
    """
    photos = [photo for photo in table.photos if photo.split == split]
    every = photos + [photo for photo in table.missing if photo.split == split]
    words = words_here + _word_counts(table.missing, split)
    return {
        "listed": len(every),
        "missing": len(every) - len(photos),
        "damaged": sum(checks[photo.id].error is not None for photo in photos),
        "grey": sum(checks[photo.id].grey for photo in photos),
        "captions": sum(len(photo.references) for photo in every),
        "captions_per_photo": dict(sorted(Counter(len(photo.references) for photo in every).items())),
        "words": words.total(),
        "in_vocabulary": sum(n for word, n in words.items() if word in vocabulary) / max(1, words.total()),
    }


def _duplicates(photos, checks):
    """Find groups of photos that have the same content, but are in different splits.

    Args:
        photos: a list of Photo.
        checks: a dict from the id of each photo to its _Check, which has the hash of the file.

    Returns:
        A list of groups. Each group is a list [[split, id], …].
    """
    groups = defaultdict(list)
    for photo in photos:
        if checks[photo.id].digest:
            groups[checks[photo.id].digest].append([photo.split, photo.id])
    return [group for group in groups.values() if len({split for split, _ in group}) > 1]


def is_whole(report):
    """Return True if a dataset has no missing photos, no damaged photos, and no photo in several splits.

    `report` is the report on the dataset, a dict made by `verify`.
    """
    return not (report["missing"] or report["damaged"] or report["duplicates"])


def split_rows(report):
    """Make a table with the numbers of photos, captions and words in each split of a dataset.

    `report` is the report on the dataset, a dict made by `verify`.

    Returns:
        (header, rows): a tuple of column names, and a list with a tuple for each split.
    """
    header = ("split", "photos", "missing", "damaged", "grey", "captions", "per photo", "words", "in vocabulary")
    rows = []
    for split, counts in report["splits"].items():
        each = " ".join(f"{number}×{photos}" for number, photos in counts["captions_per_photo"].items())
        rows.append(
            (
                split, counts["listed"] - counts["missing"], counts["missing"], counts["damaged"], counts["grey"],
                counts["captions"], each, counts["words"], f"{counts['in_vocabulary']:.1%}",
            )
        )  # fmt: skip
    return header, rows


def findings(report):
    """Write lines for the user about the words and the faults of a dataset.

    `report` is the report on the dataset, a dict made by `verify`. The counts of each split are left out, because
    `split_rows` shows them. Returns a list of str.
    """
    lines = list(report["notes"])
    words = report["vocabulary"]
    least, known = words["min_word_count"], words["words"]
    which = f"{known} words"
    if least > 1:
        which = f"{known} of {words['seen']} words, those that occur {least} times or more"
    lines.append(f"vocabulary: {which}, in the captions of available training photos")
    if report["as_published"] is not None:
        lines.append(f"the splits {'have' if report['as_published'] else 'do not have'} their published sizes")
    for key, what in {
        "missing": "photos are missing",
        "grey": "photos are grey; they are used like colour photos",
        "no_photo_names": "names in the captions are not names of photos",
        "without_caption": "photos have no caption",
    }.items():
        lines += _examples(report[key], what)
    if report["damaged"]:
        lines.append(f"{len(report['damaged'])} photos are damaged and will be skipped:")
        lines += [f"  {line}" for line in first_lines(report["damaged"].values())]
    same = [" = ".join(f"{name} ({split})" for split, name in group) for group in report["duplicates"]]
    return lines + _examples(same, "groups of photos with the same content are in several splits")


def _examples(names, what):
    """Write a line with the number of names and the first three of them.

    Args:
        names: a list of str.
        what: the end of the sentence that begins with the number, such as "photos are missing".

    Returns:
        A list with the line; an empty list if there are no names.
    """
    return [f"{len(names)} {what}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"] if names else []
