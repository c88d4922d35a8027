"""Fetch a dataset and verify it. Example: `python prepare.py flickr8k`."""

from pathlib import Path

from utils import console
from utils.data.datasets import PHOTO_DATASETS, load_dataset
from utils.data.fetch.dataset import fetch_dataset
from utils.data.fetch.verify import findings, is_whole, split_rows, verify
from utils.outputs import text_tables
from utils.training.recipes import RECIPES, START_FROM_DEFAULTS

DESCRIPTION = """Fetch a dataset, unpack it and verify it.

Existing files are neither changed nor fetched again, and an interrupted download
is continued. The exit status is 1 if photos are missing, damaged, or in several
splits."""


def parse_arguments(arguments=None):
    """Parse command-line arguments, a list of str; None for those of this process. Returns an argparse.Namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument("dataset", choices=PHOTO_DATASETS, help="custom (your own photos) is verified, not fetched")
    parser.add_argument("--data_dir", type=Path, help="folder of the dataset (default: data/DATASET)")
    parser.add_argument("--verify", action="store_true", help="fetch nothing; verify the existing files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the report as JSON")
    parser.add_argument(
        "--min_word_count",
        type=console.number(int, 1),
        help="minimum occurrences of a word in the vocabulary (default: 5; custom 1)",
    )
    parsed = parser.parse_args(arguments)
    parsed.data_dir = parsed.data_dir or Path("data") / parsed.dataset
    if parsed.min_word_count is None:
        # As in train.py, where one's own photos start from a trained model.
        own = START_FROM_DEFAULTS["min_word_count"]
        parsed.min_word_count = own if parsed.dataset == "custom" else RECIPES[parsed.dataset].min_word_count
    return parsed


def main(arguments=None):
    """Run the script: fetch a dataset, verify it and print a report.

    `arguments` is the command line, a list of str; None for that of this process.
    Returns the exit status: 0, or 1 if photos are missing, damaged, or in several splits.
    """
    arguments = parse_arguments(arguments)
    console.check_outputs([arguments.json])
    if not arguments.verify:
        fetch_dataset(arguments.dataset, arguments.data_dir, console.say, console.progress)
    table = load_dataset(arguments.dataset, arguments.data_dir)
    report = verify(table, arguments.min_word_count, console.progress)
    header, rows = split_rows(report)
    console.say("", *text_tables.table(rows, header), "", *findings(report))
    if arguments.json:
        console.write_json(arguments.json, report)
    return 0 if is_whole(report) else 1


if __name__ == "__main__":
    console.run(main)
