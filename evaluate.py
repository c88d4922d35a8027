"""Score captions of a dataset: `python evaluate.py --model models/flickr8k --dataset flickr8k`."""

from pathlib import Path

from utils import console, files
from utils.errors import InputError
from utils.model.model_folder import find_model, read_config
from utils.training.best_epoch import FEW_PHOTOS
from utils.training.recipes import RECIPES

DESCRIPTION = """Score captions against the captions of people.

A model writes its captions free-running, by beam search. --captions scores the
captions of any program and needs neither model nor photos. All references of a
photo count. Tokenisation and scores are those of pycocoevalcap."""

# The model of the sample `shapes`, which is scored if no flag is given. It is not part of the repository.
_SAMPLE_MODEL = Path("models/shapes")


def parse_arguments(arguments=None):
    """Parse command-line arguments, a list of str; None for those of this process. Returns an argparse.Namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument(
        "--model", type=Path, nargs="+", help="model folders (default: models/DATASET, or none with --captions)"
    )
    parser.add_argument(
        "--captions",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="captions in COCO's results format, or as inference.py --json writes them",
    )
    console.add_dataset_flags(parser, RECIPES)
    parser.add_argument(
        "--cache_dir", type=Path, default=Path("data/cache"), help="folder of the region caches (default: data/cache)"
    )
    parser.add_argument("--encoder_weights", help="file or name of the encoder's weights (default: as in training)")
    parser.add_argument("--split", default="val", help="train, val or test; shapes also has unseen (default: val)")
    parser.add_argument(
        "--seed", type=console.number(int, 0, 2**31 - 1), default=0, help="seed of the scenes of shapes (default: 0)"
    )
    parser.add_argument(
        "--beam_size",
        type=console.number(int, 1, 100),
        nargs="+",
        default=[5],
        help="hypotheses kept in the search (default: 5)",
    )
    parser.add_argument(
        "--no_consensus", action="store_true", help="rank captions by probability alone, without the model's consensus"
    )
    parser.add_argument("--compare", action="store_true", help="test whether the further results differ from the first")
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="also score people and nearest neighbours (extracts regions of the training photos)",
    )
    parser.add_argument(
        "--clipscore",
        action="store_true",
        help="also compute CLIPScore; needs the photos and the package open_clip_torch",
    )
    parser.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="score attention on the boxes of named objects: JSON (data/README.md), COCO's instances_*.json, or the "
        "folder of Flickr30k Entities",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write an HTML page with scores, photos and attention to FILE"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores to FILE")
    parser.add_argument(
        "--captions_out", type=Path, metavar="FILE", help="write the captions to FILE, in COCO's results format"
    )
    parsed = parser.parse_args(arguments)
    console.name_datasets(parser, parsed)
    if parsed.model is None:
        parsed.model = [] if parsed.captions else [Path("models") / parsed.dataset]
    if parsed.boxes and not parsed.model:
        parser.error("--boxes: captions from a file have no attention; give --model")
    several = len(parsed.model) * len(parsed.beam_size) + len(parsed.captions)
    if parsed.compare and several < 2:
        parser.error("--compare: give two models, beam sizes or files of captions")
    for flag in ("model", "captions", "beam_size"):
        given = getattr(parsed, flag)
        if len(set(given)) < len(given):
            parser.error(f"--{flag}: a value is given twice")
    if parsed.captions_out and several > 1:
        parser.error("--captions_out: writes the captions of one model with one beam size; give one of each")
    return parsed


def measure(arguments):
    """Evaluate all models and files of captions that the command line names.

    Args:
        arguments: the command line, an argparse.Namespace.

    Returns:
        (split, results, neighbours): the Split (its photos and references); a list with an Evaluation for each model
        with each beam size, and for each file of captions; and a list with the Evaluation of the nearest-neighbour
        baseline, which gives each photo a caption of a similar training photo. Without --baselines, this list is empty.
    """
    from utils.evaluation.attention_on_boxes import read_boxes

    boxes = arguments.boxes and read_boxes(arguments.boxes)
    if arguments.model:
        console.import_keras()
    from utils.evaluation import evaluate

    clip = None
    if arguments.clipscore:
        from utils.evaluation.clipscore import load_clip

        clip = load_clip()
    with_photos = bool(arguments.model) or arguments.clipscore
    split = evaluate.open_split(
        arguments.dataset, arguments.data_dir, arguments.split, arguments.seed, with_photos, console.REPORTER
    )
    common = {"encoder_weights": arguments.encoder_weights, "reporter": console.REPORTER}
    results, neighbours = [], []
    for model in arguments.model:
        results += evaluate.evaluate_model(
            split, model, arguments.cache_dir, arguments.beam_size, consensus=not arguments.no_consensus, **common
        )
    for result in results if boxes else ():
        evaluate.add_boxes(split, result, boxes)
    results += [evaluate.evaluate_captions(split, path, console.REPORTER) for path in arguments.captions]
    if arguments.baselines and arguments.model:
        neighbours = [
            evaluate.evaluate_neighbours(
                split, arguments.model[0], arguments.data_dir, arguments.cache_dir, arguments.seed, **common
            )
        ]
    if clip:
        for result in results:
            evaluate.add_clip_scores(split, result, clip)
    return split, results, neighbours


def main(arguments=None):
    """Run the script: score captions, print the scores and write the requested files.

    `arguments` is the command line, a list of str; None for that of this process. Returns the exit status, 0.
    """
    arguments = parse_arguments(arguments)
    console.check_outputs([arguments.json, arguments.captions_out, arguments.report])
    if arguments.model == [_SAMPLE_MODEL] and not files.is_file(find_model(_SAMPLE_MODEL) / "config.json"):
        raise InputError(
            f"{_SAMPLE_MODEL}: not trained yet; python train.py trains it. To score the model of this repository: "
            "python prepare.py flickr8k, then python evaluate.py --dataset flickr8k"
        )
    for model in arguments.model:
        read_config(model)
    for path in arguments.captions:
        if not files.is_file(path):
            raise InputError(f"{path}: no such file of captions")
    split, results, neighbours = measure(arguments)
    from utils.evaluation import baselines, coco_results, score_tables

    people = baselines.human_scores(split.references) if arguments.baselines else {}
    differences = score_tables.compare_all(results) if arguments.compare else []
    console.say("", *score_tables.lines(split, results, neighbours, people, differences))
    if len(split.references) < FEW_PHOTOS:
        single = "; the CIDEr of a single photo is always 0" if len(split.references) == 1 else ""
        console.warn(f"scores of fewer than {FEW_PHOTOS} photos vary much by chance{single}")
    if arguments.json:
        console.write_json(arguments.json, score_tables.as_json(split, results, neighbours, people, differences))
    if arguments.captions_out:
        console.write_json(arguments.captions_out, coco_results.as_results(results[0].captions))
    if arguments.report:
        from utils.evaluation import report

        report.write_report(arguments.report, split, results[0])
        console.say(f"report: {arguments.report}")
    return 0


if __name__ == "__main__":
    console.run(main)
