"""Measure this machine: `python benchmark.py --json benchmark.json`."""

from dataclasses import asdict
from pathlib import Path

from utils import console

DESCRIPTION = """Measure how fast photos are cached, decoders trained and captions written here.

Beside each figure stands the tutorial baseline: what tutorials write instead. Both
run in turns, and medians of several repetitions are compared. It needs no
dataset and no download, and takes some minutes."""


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photos to measure with (default: drawn ones)")
    parser.add_argument(
        "--encoder_weights",
        choices=("imagenet", "random"),
        help="of the encoders; imagenet fetches what is missing (default: imagenet where it is here, random elsewhere)",
    )
    parser.add_argument("--quick", action="store_true", help="one repetition of everything, to see that it runs")
    parser.add_argument(
        "--growth",
        type=Path,
        metavar="FILE",
        help="instead, measure how time, memory and disk grow with photos and words, and draw it into this picture",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, every repetition included")
    parsed = parser.parse_args(arguments)
    if parsed.growth and (parsed.photos or parsed.encoder_weights):
        parser.error("--growth draws its photos and takes no encoder: leave out --photos and --encoder_weights")
    return parsed


def main(arguments=None):
    """Measure, from the arguments to the tables."""
    arguments = parse_arguments(arguments)
    console.check_outputs([arguments.json, arguments.growth])
    from utils.benchmark import sizes

    chosen = sizes.QUICK if arguments.quick else sizes.FULL
    (measure_growth if arguments.growth else measure_speed)(chosen, arguments)
    return 0


def measure_speed(chosen, arguments):
    """How fast this machine is, beside the tutorial baseline."""
    from utils import benchmark
    from utils.benchmark import figures

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
        *figures.lines(result.figures),
        "What was not measured:",
        *(f"  {note}" for note in result.notes),
    )
    if arguments.json:
        content = {
            "machine": machine,
            "settings": {**asdict(chosen), "model": str(chosen.model.name)},
            "figures": [figure.as_json() for figure in result.figures],
            "notes": result.notes,
            "seconds": round(result.seconds, 1),
        }
        console.write_json(arguments.json, content)


def measure_growth(chosen, arguments):
    """How the work grows."""
    from utils.outputs.plots import check_format, save_figure

    check_format(arguments.growth)
    from utils.benchmark import growth, measure_growth

    machine, points, seconds = measure_growth(chosen, console.progress)
    save_figure(growth.figure(points), arguments.growth)
    console.say(
        f"each point in a process of its own; a slope of 1 is linear; {seconds / 60:.1f} minutes",
        "",
        *growth.lines(points),
        f"drawn into {arguments.growth}",
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
