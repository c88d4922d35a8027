"""Quality of confidence: scores of the most confident captions, and calibration."""

import io

import numpy as np

# Shares of the photos, ordered by confidence, the highest first.
SHARES = (0.25, 0.5, 0.75, 1.0)

_BINS = 10

# A caption with a higher CIDEr counts as right, or right in its main point. With this threshold as many captions of
# `val` count as right as a person called right out of 200 (docs/confidence.md).
_RIGHT = 0.1


def is_right(cider):
    """Whether captions count as right, or right in their main point, by their CIDEr: a bool array."""
    return np.asarray(cider) > _RIGHT


def calibration(confidence, right, bins=_BINS):
    """The expected calibration error and its table.

    Guo et al., "On calibration of modern neural networks", 2017, section 2.

    Args:
        confidence: float (captions,), 0 to 1.
        right: whether each caption is right, or its probability of being right, (captions,).
        bins: number of bins of equal width.

    Returns:
        The error; and a row for each bin with captions: (number of captions, mean confidence, share of right captions).
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    chosen = [places == place for place in np.unique(places)]
    rows = [(int(own.sum()), float(confidence[own].mean()), float(right[own].mean())) for own in chosen]
    return sum(count * abs(sure - share) for count, sure, share in rows) / len(confidence), rows


def area_under_curve(confidence, right):
    """Probability that a right caption has more confidence than a wrong one; nan without both kinds."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, bool)
    better, worse = confidence[right][:, None], confidence[~right]
    return float(((better > worse) + 0.5 * (better == worse)).mean()) if better.size and worse.size else float("nan")


def spearman(first, second):
    """Spearman's rank correlation of two lists of numbers; nan if all numbers of a list are equal."""
    ranks = [_ranks(np.asarray(each, float)) for each in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1]) if all(each.std() > 0 for each in ranks) else float("nan")


def _ranks(values):
    # Equal values get the mean of their ranks.
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def score_confidence(confidence, cider):
    """Quality of the confidence of captions of photos with references.

    Args:
        confidence: of each caption, float (photos,), 0 to 1.
        cider: of each caption, float (photos,).

    Returns:
        A dict: `mean`; `coverage`, by share of the most confident photos their mean `CIDEr` and `least_confidence`;
        `spearman`, the correlation with CIDEr; `calibration_error` and `calibration`, from `calibration`, where
        `is_right` decides whether a caption is right.
    """
    confidence, cider = np.asarray(confidence, float), np.asarray(cider, float)
    order = np.argsort(-confidence, kind="stable")
    coverage = {}
    for share in SHARES:
        own = order[: max(1, round(share * len(order)))]
        coverage[f"{share:.0%}"] = {"CIDEr": float(cider[own].mean()), "least_confidence": float(confidence[own[-1]])}
    error, rows = calibration(confidence, is_right(cider))
    return {
        "mean": float(confidence.mean()),
        "coverage": coverage,
        "spearman": spearman(confidence, cider),
        "calibration_error": float(error),
        "calibration": [dict(zip(("captions", "confidence", "right"), row)) for row in rows],
    }


def draw(found, confidence, cider):
    """Curves of coverage and calibration: the text of an SVG file.

    Args:
        found: dict from `score_confidence`.
        confidence, cider: the arguments of `score_confidence`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    order = np.argsort(-np.asarray(confidence), kind="stable")
    covered = np.arange(1, len(order) + 1)
    # A mean over a few captions would vary widely, so the curve starts at 5 %.
    least = max(1, len(order) // 20) - 1
    left.plot(100 * covered[least:] / len(order), (np.cumsum(np.asarray(cider)[order]) / covered)[least:])
    left.set(xlabel="most confident captions, %", ylabel="their CIDEr", title="coverage", xlim=(0, 100), ylim=(0, None))
    rows = found["calibration"]
    right.plot((0, 1), (0, 1), color="grey", linestyle=":")
    right.scatter(
        [row["confidence"] for row in rows],
        [row["right"] for row in rows],
        s=[10 + 400 * row["captions"] / len(order) for row in rows],
    )
    right.set(xlabel="confidence", ylabel="right, by CIDEr", title="calibration", xlim=(0, 1), ylim=(0, 1))
    for axis in (left, right):
        axis.grid(alpha=0.3)
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()
