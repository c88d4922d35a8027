"""What was measured: repetitions in turns, medians, and the table of them."""

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass

from utils.console import table

BETTER_LOW = ("s", "MB", "bytes")


@dataclass(frozen=True)
class Figure:
    """One line of the benchmark.

    Args:
        phase: "first caption", "caching", "training", "decoding" or "peak memory".
        what: is measured.
        unit: of the values.
        ours: values, one a repetition.
        baseline: the same of the tutorial baseline; empty if it has none.
    """

    phase: str
    what: str
    unit: str
    ours: tuple
    baseline: tuple = ()

    @property
    def ratio(self):
        """How many times better ours is than the tutorial baseline, by their medians; None without the latter."""
        if not self.baseline:
            return None
        ratio = statistics.median(self.ours) / statistics.median(self.baseline)
        return 1 / ratio if self.unit in BETTER_LOW else ratio

    def as_json(self):
        """All of it as a JSON object, every repetition included."""
        return {
            "phase": self.phase,
            "what": self.what,
            "unit": self.unit,
            "ours": statistics.median(self.ours),
            "baseline": statistics.median(self.baseline) if self.baseline else None,
            "ratio": self.ratio,
            "ours_repetitions": list(self.ours),
            "baseline_repetitions": list(self.baseline),
        }


def timed(name, function):
    """A run for `take_turns`, which calls `function` and gives its seconds that name."""

    def run():
        start = time.perf_counter()
        function()
        return {name: time.perf_counter() - start}

    return run


def take_turns(runs, sizes, progress, desc):
    """Repeat all runs in turns, so that whatever else the machine does falls on all of them alike.

    Args:
        runs: functions without arguments that return values by name.
        sizes: Sizes, for the repetitions that count and those that warm up before them.
        progress: called as tqdm is.
        desc: what the progress bar says.

    Returns:
        By name a tuple of values, one a repetition.
    """
    values = defaultdict(list)
    with progress(total=len(runs) * (sizes.warm_ups + sizes.repetitions), desc=desc, unit="run", leave=False) as bar:
        for repetition in range(sizes.warm_ups + sizes.repetitions):
            for run in runs:
                for name, value in run().items():
                    if repetition >= sizes.warm_ups:
                        values[name].append(value)
                bar.update()
    return {name: tuple(found) for name, found in values.items()}


def rates(count, seconds):
    """`count` things a second, for each of the seconds."""
    return tuple(count / each for each in seconds)


class Cell:
    """A number of three digits, to the right of its column; nothing if it is None."""

    def __init__(self, value, sign=""):
        self.text = "" if value is None else f"{value:,.{max(0, 2 - _exponent(value))}f}{sign}"

    def __str__(self):
        return self.text


def _exponent(value):
    return int(f"{value:e}".split("e")[1])


def lines(figures):
    """The figures as tables, one a phase, for a person."""
    phases = defaultdict(list)
    for figure in figures:
        phases[figure.phase].append(figure)
    text = []
    for phase, own in phases.items():
        rows = []
        for figure in own:
            numbers = figure.as_json()
            cells = [Cell(numbers["ours"]), Cell(numbers["baseline"]), Cell(numbers["ratio"], "×")]
            rows.append((figure.what, figure.unit, *cells))
        text += [table(rows, (phase, "unit", "ours", "tutorial baseline", "better")), ""]
    return text
