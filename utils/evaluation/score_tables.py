"""Show evaluations of several captioners side by side: as text tables for the terminal, or as JSON."""

from dataclasses import asdict

from utils.evaluation import bootstrap, metrics
from utils.outputs.text_tables import table

_COLUMNS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr", "SPICE")

# Statistics in the tables: name, label, and format of the value.
STATISTICS = (
    ("words", "words a caption", "{:.1f}"),
    ("vocabulary", "different words", "{}"),
    ("distinct_captions", "distinct captions", "{}"),
    ("most_frequent", "most frequent caption", "{:.1%}"),
    ("new", "not a training caption", "{:.1%}"),
    ("distinct_1", "distinct-1", "{:.3f}"),
    ("distinct_2", "distinct-2", "{:.3f}"),
    ("self_bleu", "self-BLEU", "{:.3f}"),
    ("twice", "names a thing twice", "{:.1%}"),
    ("breaks_off", "breaks off", "{:.1%}"),
    ("clipscore", "CLIPScore", "{:.4f}"),
    ("ref_clipscore", "RefCLIPScore", "{:.4f}"),
)
# Statistics of attention in the tables: name, label, and format of the value.
ATTENTION = (
    ("entropy", "attention entropy (1: uniform)", "{:.3f}"),
    ("coverage", "attended regions", "{:.1%}"),
    ("peak", "peak over uniform", "{:.1f}"),
)


def compare_all(results):
    """Compare the first captioner with each other captioner, by a paired bootstrap test of their scores.

    Args:
        results: list of Evaluation, one per captioner.

    Returns:
        A list of tuples: title of the first Evaluation, title of the other, and a dict from score name to Difference.
    """
    first = results[0]
    return [(first.title, other.title, bootstrap.compare(first.scores, other.scores)) for other in results[1:]]


def lines(split, results, neighbours=(), people=(), differences=()):
    """Format all results of an evaluation as text tables.

    Args:
        split: the Split that was captioned.
        results: list of Evaluation, one per captioner.
        neighbours: list of Evaluation of the baseline that uses captions of similar training photos.
        people: scores of captions by people, a dict from score name to score.
        differences: a list of tuples: title of the first Evaluation, title of another one, and a dict from score name
            to Difference (of the scores of these two).

    Returns:
        A list of lines, strings.
    """
    text = [split.describe()]
    if len(results) == 1 and not neighbours and not people:
        only = results[0]
        text += [only.title]
        rows = [
            (name, f"{value:.4f}", "[{:.4f}, {:.4f}]".format(*only.intervals[name]))
            for name, value in only.scores.corpus.items()
        ]
        text += table(rows, ("score", "value", "95 % of resamples"))
    else:
        text += _side_by_side([*results, *neighbours], people)
        text.append("±: half the width of the 95 % bootstrap interval")
    for name, reason in metrics.available()[1].items():
        text.append(f"{name} is not computed: {reason}")
    text += ["", *_statistics(results, neighbours, "statistics", STATISTICS, "captions")]
    if any(result.attention for result in results):
        text += ["", *_statistics(results, (), "attention", ATTENTION, "attention")]
    for result in results:
        text += _scenes(result)
        text += _on_boxes(result)
        text += _confidence(result)
    for first, second, by_name in differences:
        rows = [
            (name, f"{d.value:+.4f}", f"[{d.low:+.4f}, {d.high:+.4f}]", f"{d.p:.3f}") for name, d in by_name.items()
        ]
        text += ["", f"{second} minus {first} (paired bootstrap of 1,000 resamples):"]
        text += table(rows, ("score", "difference", "95 %", "p"))
    return text


def _side_by_side(results, people):
    """Format the scores of several captioners as one text table, a list of lines.

    Each captioner has two lines: its scores, and under them the half widths of their 95 % intervals.

    Args:
        results: list of Evaluation, one per captioner.
        people: scores of captions by people, a dict from score name to score, for one more line; empty for none.
    """
    names = [name for name in _COLUMNS if name in results[0].scores.corpus]
    rows = []
    for result in results:
        rows.append((result.title, *(f"{result.scores.corpus[name]:.4f}" for name in names)))
        rows.append(("", *(f"±{(result.intervals[n][1] - result.intervals[n][0]) / 2:.4f}" for n in names)))
    if people:
        rows.append(("people, against the other references", *(f"{people[name]:.4f}" for name in names)))
    return table(rows, ("", *names))


def _statistics(results, neighbours, what, fields, title):
    """Format statistics of captions or of attention as a text table with a column for each captioner: a list of lines.

    Args:
        results: a list of Evaluation, one per captioner.
        neighbours: a list of Evaluation of the baseline that uses captions of similar training photos.
        what: name of the attribute of an Evaluation that holds the statistics: "statistics" or "attention".
        fields: the rows of the table, tuples (name, label, format of the value).
        title: heading of the first column.
    """
    shown = [result for result in [*results, *neighbours] if getattr(result, what)]
    rows = [
        (label, *(form.format(values[key]) if key in (values := getattr(r, what)) else "" for r in shown))
        for key, label, form in fields
        if key in getattr(shown[0], what)
    ]
    return table(rows, (title, *(result.title for result in shown)))


def _scenes(result):
    """Format how well captions and attention agree with the objects in generated pictures, as a text table.

    Args:
        result: an Evaluation.

    Returns:
        A list of lines. It is empty unless the dataset is `shapes`, generated pictures of coloured shapes.
    """
    if not result.scene_scores:
        return []
    rows = [
        (kind, f"{v['words']}", f"{v['mass']:.3f}", f"{v['gain']:.1f}", f"{v['pointing']:.1%}")
        for kind, v in result.word_kinds.items()
    ]
    return [
        "",
        f"{result.title}, against the scenes themselves:",
        *result.describe_scenes(),
        *(table(rows, ("word", "count", "mass in box", "over uniform", "peak in box")) if rows else ()),
    ]


BOXES_HEADER = ("word", "count", "pointing", "95 %", "mass over area", "95 %", "pointing: uniform", "centre of photo")


def boxes_rows(result):
    """Make table rows that say how well attention hits the boxes that people drew around objects.

    Each row is one kind of words: all, people, animals or things.

    Args:
        result: an Evaluation whose attribute `on_boxes` is set.

    Returns:
        A list of tuples of strings, with the columns of BOXES_HEADER.
    """
    return [
        (
            kind,
            f"{v['words']}",
            f"{v['pointing']:.3f}",
            "[{:.3f}, {:.3f}]".format(*v["pointing_interval"]),
            f"{v['gain']:.2f}",
            "[{:.2f}, {:.2f}]".format(*v["gain_interval"]),
            f"{v['uniform_pointing']:.3f}",
            f"{v['centre_pointing']:.3f} ({v['centre_gain']:.2f})",
        )
        for kind, v in result.on_boxes.items()
    ]


def _on_boxes(result):
    """Format how well attention hits the boxes of objects, as a text table. `result` is an Evaluation.

    Returns a list of lines. It is empty if there are no boxes.
    """
    if not result.on_boxes:
        return []
    photos = result.on_boxes["all"]["photos"]
    return [
        "",
        f"{result.title}, attention on the boxes of {photos} photos (in brackets: mass over area):",
        *table(boxes_rows(result), BOXES_HEADER),
    ]


COVERAGE_HEADER = ("most confident captions", "CIDEr", "ratio to all", "lowest confidence")
CALIBRATION_HEADER = ("confidence from", "captions", "mean confidence", "right, by CIDEr")


def confidence_rows(result):
    """Make the rows of two tables that say how good the confidence of captions is.

    Args:
        result: Evaluation of captions with confidence.

    Returns:
        (coverage, bins), two lists of tuples of strings. `coverage` has the columns of COVERAGE_HEADER and shows the
        CIDEr of the most confident captions. `bins` has the columns of CALIBRATION_HEADER and shows how many captions
        with similar confidence are right.
    """
    coverage, all_cider = result.confidence["coverage"], result.confidence["coverage"]["100%"]["CIDEr"]
    rows = [
        (share, f"{v['CIDEr']:.4f}", f"{v['CIDEr'] / max(all_cider, 1e-9):.2f}", f"{v['least_confidence']:.2f}")
        for share, v in coverage.items()
    ]
    bins = [
        (f"{int(v['confidence'] * 10) / 10:.1f}", f"{v['captions']}", f"{v['confidence']:.2f}", f"{v['right']:.2f}")
        for v in result.confidence["calibration"]
    ]
    return rows, bins


def confidence_line(result):
    """Return a str: an Evaluation's mean confidence, its correlation with CIDEr, and its calibration error."""
    found = result.confidence
    return (
        f"mean {found['mean']:.2f}, Spearman's correlation with CIDEr {found['spearman']:.2f}, "
        f"expected calibration error {found['calibration_error']:.3f}"
    )


def _confidence(result):
    """Format how good the confidence of captions is, as two text tables. `result` is their Evaluation.

    Returns a list of lines. It is empty if the captions have no confidence.
    """
    if not result.confidence:
        return []
    coverage, bins = confidence_rows(result)
    lines_of_tables = [*table(coverage, COVERAGE_HEADER), "", *table(bins, CALIBRATION_HEADER)]
    return ["", f"{result.title}, confidence: {confidence_line(result)}", *lines_of_tables]


def as_json(split, results, neighbours=(), people=(), differences=()):
    """Return all results of an evaluation as a dict that can be written as JSON.

    Args:
        split: the Split that was captioned.
        results: list of Evaluation, one per captioner. The scores of a single Evaluation are on the dict's top level.
            Several Evaluations are a list under the key "evaluations".
        neighbours: list of Evaluation of the baseline that uses captions of similar training photos.
        people: scores of captions by people, a dict from score name to score.
        differences: a list of tuples: title of the first Evaluation, title of another one, and a dict from score name
            to Difference (of the scores of these two).
    """
    counts = [len(texts) for texts in split.references.values()]
    content = {
        "dataset": split.dataset,
        "split": split.name,
        "photos": len(split.photos),
        "references": [min(counts), max(counts)],
        "tokenisation": "Penn Treebank, as pycocoevalcap's",
    }
    if len(results) == 1:
        content |= results[0].as_dict()
    else:
        content["evaluations"] = [result.as_dict() for result in results]
    if neighbours:
        content["baselines"] = [result.as_dict() for result in neighbours]
    if people:
        content["people"] = people
    if differences:
        content["comparisons"] = [
            {"first": first, "second": second, "scores": {name: asdict(d) for name, d in by_name.items()}}
            for first, second, by_name in differences
        ]
    return content
