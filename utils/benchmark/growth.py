"""Measure how time, memory and disk use grow with the number of photos and the number of words.

The tasks that are measured are in `growth_photos` and `growth_words`. Each task and each size is measured in its own
process. A task is a generator function. It yields after its imports and again after its preparation. Then it does the
work that is measured, and returns the number of bytes that it wrote to disk, or None.
"""

import math
import tempfile
import time
from collections import namedtuple

from matplotlib.figure import Figure

from utils.benchmark import fresh, growth_photos, growth_words
from utils.benchmark.measurements import three_digits
from utils.outputs.text_tables import table
from utils.progress import silent

# The measurement of one task at one size. `against` is "photos" or "words": what `size` counts. `what` is the name of
# the task. `seconds` is the time of the work. `memory` is the peak memory minus the memory after the imports, in MB.
# `disk` is the disk space in MB, or None if nothing is written.
Point = namedtuple("Point", "against what size seconds memory disk")

# A dict from the measured fields of Point to their units.
QUANTITIES = {"seconds": "s", "memory": "MB of memory", "disk": "MB on disk"}


def measure(sizes, progress=silent):
    """Measure time, memory and disk use of each task, for several numbers of photos or of words.

    Args:
        sizes: a Sizes object, which holds the numbers of photos and words.
        progress: function that takes the arguments of `tqdm` and returns a progress bar.

    Returns:
        A list of Point: each is the measurement of one task at one size.

    Raises:
        InputError: memory ran out.
    """
    modules = {"photos": growth_photos, "words": growth_words}
    series = [(against, count) for against in modules for count in getattr(sizes, f"growth_{against}")]
    total, points = sum(len(_tasks(modules[against], count)) for against, count in series), []
    with progress(total=total, desc="growth", unit="process", leave=False) as bar:
        for against, count in series:
            with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
                drawn = modules[against].draw(folder, count, sizes)
                for what, task in _tasks(modules[against], count):
                    points.append(Point(against, what, count, *fresh.call(_run, task, sizes, drawn, count)))
                    bar.update()
    return points


def _tasks(module, count):
    """List the tasks of a module that are measured at size `count`, the number of photos or words.

    `module` is `growth_photos` or `growth_words`. Returns a list of (name of the task, generator function).
    """
    return [(what, task) for what, task in module.TASKS.items() if count <= module.MOST.get(what, count)]


def _run(task, *arguments):
    """Run a task and measure it. Call this function in a new process.

    Args:
        task: generator function: it yields after its imports and again after its preparation, then does the work.
        arguments: the arguments of the task.

    Returns:
        (seconds, MB of memory, MB of disk space or None).
    """
    stages = task(*arguments)
    next(stages)
    before = fresh.resident_bytes()
    next(stages)
    start = time.perf_counter()
    try:
        next(stages)
    except StopIteration as end:
        disk = end.value
    seconds = time.perf_counter() - start
    return seconds, (fresh.peak_bytes() - before) / 1e6, disk and disk / 1e6


def slope(points, quantity):
    """Compute the exponent k with which a quantity grows, if the quantity is proportional to size ** k.

    The two largest sizes are compared. k = 1 means linear growth. k is the slope of the curve with logarithmic axes.

    Args:
        points: list of Point of one task, ordered by size.
        quantity: "seconds", "memory" or "disk".

    Returns:
        The exponent k, a float; None if there are fewer than two sizes, or if a value is missing or not positive.
    """
    values = [(point.size, getattr(point, quantity)) for point in points][-2:]
    if len(values) < 2 or not all(value and value > 0 for _, value in values):
        return None
    (few, less), (many, more) = values
    return math.log(more / less) / math.log(many / few)


def by_task(points):
    """Group a list of Point (measurements) by task.

    Returns a dict. Each key is a pair (unit, task): the unit of the sizes, "photos" or "words", and the name of the
    task. Each value is a list of Point, the measurements of this task.
    """
    tasks = {}
    for point in points:
        tasks.setdefault((point.against, point.what), []).append(point)
    return tasks


def _sizes(points, against):
    """List the sizes in a list of Point, in increasing order. `against` is their unit, "photos" or "words"."""
    return sorted({point.size for point in points if point.against == against})


def rows(points):
    """Arrange a list of Point (measurements) in table rows, one for each task and quantity.

    A row has the name of the task, the unit, the value at every size (None if it was not measured), and the slope, the
    exponent of the growth.

    Returns:
        A dict with the keys "photos" and "words", the units of the sizes. Each value is a list of rows, which are
        tuples.
    """
    found = {}
    for (against, what), own in by_task(points).items():
        sizes = _sizes(points, against)
        for quantity, unit in QUANTITIES.items():
            values = {point.size: getattr(point, quantity) for point in own}
            if None not in values.values():
                row = (what, unit, *(values.get(size) for size in sizes), slope(own, quantity))
                found.setdefault(against, []).append(row)
    return found


def slopes(points):
    """Compute from a list of Point (measurements) the slope (exponent of the growth) of each task and quantity.

    Returns a dict. Each key is a text such as "TASK, against photos". Each value is a dict with the keys "seconds",
    "memory" and "disk"; its values are slopes.
    """
    return {
        f"{what}, against {against}": {quantity: slope(own, quantity) for quantity in QUANTITIES}
        for (against, what), own in by_task(points).items()
    }


def lines(points):
    """Format a list of Point, the measurements of growth, as text tables. Returns a list of lines."""
    text = []
    for against, found in rows(points).items():
        sizes = _sizes(points, against)
        cells = [(what, unit, *map(three_digits, numbers)) for what, unit, *numbers in found]
        text += [*table(cells, (f"against {against}", "unit", *(f"{size:,}" for size in sizes), "slope")), ""]
    return text


def figure(points):
    """Draw a list of Point (measurements) as curves, one per task, on logarithmic axes: a matplotlib Figure."""
    picture = Figure(figsize=(10, 8.5), layout="constrained")
    picture.suptitle(
        "How work grows (in brackets: the slope between the two largest sizes; 1, the dotted line, is linear)"
    )
    for axes, against in zip(picture.subplots(2, len(QUANTITIES)), ("photos", "words")):
        for axis, (quantity, unit) in zip(axes, QUANTITIES.items()):
            _draw(axis, [own for (kind, _), own in by_task(points).items() if kind == against], quantity)
            axis.set(xscale="log", yscale="log", xlabel=against, ylabel=unit)
            sizes = _sizes(points, against)
            axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    return picture


def _draw(axis, series, quantity):
    """Draw a curve for each task on matplotlib Axes, and a dotted line for linear growth.

    `series` is a list with a list of Point for each task. `quantity` is "seconds", "memory" or "disk".
    """
    for own in series:
        sizes, values = [point.size for point in own], [getattr(point, quantity) for point in own]
        if None in values:
            continue
        rate = slope(own, quantity)
        label = own[0].what + ("" if rate is None else f" ({rate:.2f})")
        (line,) = axis.plot(sizes, values, marker="o", markersize=3, label=label)
        linear = [values[-1] * size / sizes[-1] for size in sizes]
        axis.plot(sizes, linear, linestyle=":", linewidth=1, color=line.get_color(), alpha=0.5)
