"""Measure this machine: `python benchmark.py --json benchmark.json`."""

from dataclasses import asdict
from pathlib import Path

from utils import console

DESCRIPTION = """Measure the speed of this machine: caching photos, training decoders, writing captions.

Each measurement is compared with the tutorial baseline, the same work as
tutorials program it. Both run in turns; medians of several repetitions are
compared. It needs no dataset and no download, and takes some minutes."""


def parse_arguments(arguments=None):
    """Parse command-line arguments, a list of str; None for those of this process. Returns an argparse.Namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument(
        "--photos", type=Path, metavar="FOLDER", help="folder of photos to measure with (default: drawn pictures)"
    )
    parser.add_argument(
        "--encoder_weights",
        choices=("imagenet", "random"),
        help="encoder weights; imagenet downloads missing files (default: imagenet if present, otherwise random)",
    )
    parser.add_argument("--quick", action="store_true", help="one repetition of everything, as a trial")
    parser.add_argument(
        "--growth",
        type=Path,
        metavar="FILE",
        help="measure instead how time, memory and disk use grow with photos and words, and draw the curves to FILE",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all measurements to FILE, with every repetition"
    )
    parsed = parser.parse_args(arguments)
    if parsed.growth and (parsed.photos or parsed.encoder_weights):
        parser.error("--growth uses drawn photos and no encoder: leave out --photos and --encoder_weights")
    return parsed


def main(arguments=None):
    """Run the script: measure the program on this machine, and print the results.

    With --growth, it measures how time, memory and disk use grow with the amount of work, otherwise the speed.
    `arguments` is the command line, a list of str; None for that of this process. Returns the exit status, 0.
    """
    arguments = parse_arguments(arguments)
    console.check_outputs([arguments.json, arguments.growth])
    from utils.benchmark import sizes

    chosen = sizes.QUICK if arguments.quick else sizes.FULL
    (measure_growth if arguments.growth else measure_speed)(chosen, arguments)
    return 0


def measure_speed(chosen, arguments):
    """Measure and print the speed of this program and of a baseline.

    The baseline is code that does the same work in the way tutorials show.

    Args:
        chosen: a Sizes object, which holds the amount of work.
        arguments: the command line, an argparse.Namespace.
    """
    from utils import benchmark
    from utils.benchmark import measurements

    result = benchmark.measure(chosen, arguments.photos, arguments.encoder_weights, console.progress)
    machine = result.machine
    products = ", ".join(f"{rate:.0f} ({name})" for name, rate in machine["matrix_products_gflops"].items())
    repetitions = f"medians of {chosen.repetitions} repetitions" if chosen.repetitions > 1 else "one repetition"
    console.say(
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"GPUs: {', '.join(machine['gpus']) or 'none'}",
        f"matrix products: {products} GFLOP/s",
        f"{repetitions} after a warm-up; {result.seconds / 60:.1f} minutes",
        "",
        *measurements.lines(result.measurements),
        "Limits of these measurements:",
        *(f"  {note}" for note in result.notes),
    )
    if arguments.json:
        content = {
            "machine": machine,
            "settings": {**asdict(chosen), "model": str(chosen.model.name)},
            "figures": [measurement.as_json() for measurement in result.measurements],
            "notes": result.notes,
            "seconds": round(result.seconds, 1),
        }
        console.write_json(arguments.json, content)


def measure_growth(chosen, arguments):
    """Measure, print and draw how time, memory and disk use grow with the numbers of photos and words.

    Args:
        chosen: a Sizes object, which holds the amount of work.
        arguments: the command line, an argparse.Namespace.
    """
    from utils.outputs.plots import check_format, save_figure

    check_format(arguments.growth)
    from utils.benchmark import growth, measure_growth

    machine, points, seconds = measure_growth(chosen, console.progress)
    save_figure(growth.figure(points), arguments.growth)
    console.say(
        f"each point is measured in its own process; a slope of 1 is linear; {seconds / 60:.1f} minutes",
        "",
        *growth.lines(points),
        f"curves: {arguments.growth}",
    )
    if arguments.json:
        console.write_json(
            arguments.json,
            {
                "machine": machine,
                "points": [point._asdict() for point in points],
                "slopes": growth.slopes(points),
                "seconds": round(seconds, 1),
            },
        )


if __name__ == "__main__":
    console.run(main)
