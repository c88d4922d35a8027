"""Measure how good the confidence of captions is: the scores of the most confident captions, and calibration."""

import io

import numpy as np

# Shares of the most confident captions whose mean CIDEr is computed.
SHARES = (0.25, 0.5, 0.75, 1.0)

_BINS = 10

# A caption with a higher CIDEr counts as right. With this threshold, the share of right captions in `val` is the share
# that a person called right, or right in the main point, among 200 captions (docs/confidence.md).
_RIGHT = 0.1


def is_right(cider):
    """Decide by the CIDEr of captions which of them count as right. Returns a bool array (captions,).

    `cider` is the CIDEr of each caption, float (captions,).
    """
    return np.asarray(cider) > _RIGHT


def calibration(confidence, right, bins=_BINS):
    """Compute the expected calibration error: the mean difference between confidence and share of right captions.

    The captions are sorted into bins by their confidence: Guo et al., "On calibration of modern neural networks", 2017,
    section 2.

    Args:
        confidence: confidence of each caption, float (captions,), 0 to 1.
        right: for each caption, True if it is right, or the probability that it is right, (captions,).
        bins: number of bins of equal width.

    Returns:
        (error, bins). `bins` is a list with a tuple for each bin that has captions: number of captions, mean confidence
        and share of right captions.
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    chosen = [places == place for place in np.unique(places)]
    rows = [(int(own.sum()), float(confidence[own].mean()), float(right[own].mean())) for own in chosen]
    return sum(count * abs(sure - share) for count, sure, share in rows) / len(confidence), rows


def area_under_curve(confidence, right):
    """Compute the probability that a right caption has more confidence than a wrong one: the area under the ROC curve.

    Args:
        confidence: confidence of each caption, float (captions,).
        right: True for each caption that is right, bool (captions,).

    Returns:
        A float, 0 to 1; nan if all captions are right or all are wrong.
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, bool)
    better, worse = confidence[right][:, None], confidence[~right]
    return float(((better > worse) + 0.5 * (better == worse)).mean()) if better.size and worse.size else float("nan")


def spearman(first, second):
    """Return Spearman's rank correlation of two lists of numbers, a float; nan if all numbers of a list are equal."""
    ranks = [_ranks(np.asarray(each, float)) for each in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1]) if all(each.std() > 0 for each in ranks) else float("nan")


def _ranks(values):
    # Equal values get the mean of their ranks.
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def score_confidence(confidence, cider):
    """Measure how well confidence predicts the CIDEr of captions.

    Args:
        confidence: confidence of each caption, float (captions,), 0 to 1.
        cider: CIDEr of each caption, float (captions,).

    Returns:
        A dict:

        - `mean`: mean confidence.
        - `coverage`: a dict. A key such as "25%" means this share of the captions, the most confident ones. Its value
          is a dict with their mean `CIDEr` and the lowest confidence among them, `least_confidence`.
        - `spearman`: Spearman's correlation of confidence and CIDEr.
        - `calibration_error`: mean difference between confidence and share of right captions.
        - `calibration`: a list with a dict for each range of confidence: number of `captions`, mean `confidence`, and
          share that is `right`.
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
    """Draw two pictures of the quality of confidence: the mean CIDEr of the most confident captions, and calibration.

    Args:
        found: measures of the confidence, a dict. Its key `calibration` is used: a list with a dict for each range of
            confidence, with the keys `captions`, `confidence` and `right`. `score_confidence` computes it.
        confidence: confidence of each caption, float (captions,), 0 to 1.
        cider: CIDEr of each caption, float (captions,).

    Returns:
        The text of an SVG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    order = np.argsort(-np.asarray(confidence), kind="stable")
    covered = np.arange(1, len(order) + 1)
    # The curve starts at 5 %, because a mean over few captions varies much.
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
