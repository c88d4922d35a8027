"""Fetch a dataset and verify it: `python prepare.py flickr8k`."""

from pathlib import Path

from utils import console
from utils.data.datasets import PHOTO_DATASETS, load_dataset
from utils.data.fetch.dataset import prepare
from utils.data.fetch.verify import findings, is_whole, split_rows, verify
from utils.outputs import text_tables

DESCRIPTION = """Fetch a dataset, unpack it and verify it.

What is there already is neither fetched again nor changed, and what was
interrupted goes on. Ends with status 1 if photos are missing or damaged, or lie
in several splits."""


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument("dataset", choices=PHOTO_DATASETS, help="custom, your own photos, is only verified")
    parser.add_argument("--data_dir", type=Path, help="its folder (default: data/DATASET)")
    parser.add_argument("--verify", action="store_true", help="fetch nothing, only verify what is there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here")
    parser.add_argument(
        "--min_word_count", type=console.number(int, 1), default=5, help="of the vocabulary's words (default: 5)"
    )
    parsed = parser.parse_args(arguments)
    parsed.data_dir = parsed.data_dir or Path("data") / parsed.dataset
    return parsed


def main(arguments=None):
    """Fetch and verify, from the arguments to the report."""
    arguments = parse_arguments(arguments)
    console.check_outputs([arguments.json])
    if not arguments.verify:
        prepare(arguments.dataset, arguments.data_dir, console.say, console.progress)
    table = load_dataset(arguments.dataset, arguments.data_dir)
    report = verify(table, arguments.min_word_count, console.progress)
    header, rows = split_rows(report)
    console.say("", *text_tables.table(rows, header), "", *findings(report))
    if arguments.json:
        console.write_json(arguments.json, report)
    return 0 if is_whole(report) else 1


if __name__ == "__main__":
    console.run(main)
