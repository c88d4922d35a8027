"""Measure this machine: `python benchmark.py --json benchmark.json`."""

from dataclasses import asdict
from pathlib import Path

from utils import console

DESCRIPTION = """Measure how fast photos are cached, decoders trained and captions written here.

Beside each figure stands the field's loop: what tutorials write instead. Both
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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, every repetition included")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, from the arguments to the tables."""
    arguments = parse_arguments(arguments)
    console.check_outputs([arguments.json])
    from utils import benchmark
    from utils.benchmark import figures, sizes

    chosen = sizes.QUICK if arguments.quick else sizes.FULL
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
    return 0


if __name__ == "__main__":
    console.run(main)
