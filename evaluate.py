"""Score a trained model: `python evaluate.py --model models/flickr8k --dataset flickr8k`."""

from pathlib import Path

from utils import console
from utils.model_folder import read_config
from utils.recipes import RECIPES

DESCRIPTION = """Score a model's captions against people's.

Captions are written free-running, by beam search, and scored against all
references of a photo as pycocoevalcap does it."""


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument("--model", type=Path, help="the model folder (default: models/DATASET)")
    parser.add_argument("--dataset", choices=sorted(RECIPES), default="shapes", help="default: shapes")
    parser.add_argument("--data_dir", type=Path, help="folder of the dataset (default: data/DATASET)")
    parser.add_argument(
        "--cache_dir", type=Path, default=Path("data/cache"), help="folder of the region caches (default: data/cache)"
    )
    parser.add_argument("--encoder_weights", help="where the encoder's weights are, if not where they were in training")
    parser.add_argument("--split", default="val", help="train, val or test; shapes also has unseen (default: val)")
    parser.add_argument(
        "--seed", type=console.number(int, 0, 2**31 - 1), default=0, help="of the scenes of shapes (default: 0)"
    )
    parser.add_argument("--beam_size", type=console.number(int, 1, 100), default=3, help="hypotheses kept (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores here")
    parser.add_argument(
        "--captions_out", type=Path, metavar="FILE", help="write the captions here, in COCO's results format"
    )
    parsed = parser.parse_args(arguments)
    parsed.data_dir = parsed.data_dir or Path("data") / parsed.dataset
    parsed.model = parsed.model or Path("models") / parsed.dataset
    return parsed


def main(arguments=None):
    """Evaluate, from the arguments (those of the command line if None) to the table."""
    arguments = parse_arguments(arguments)
    console.check_outputs([arguments.json, arguments.captions_out])
    read_config(arguments.model)
    console.import_tensorflow()
    from utils.evaluation import evaluate_model

    result = evaluate_model(
        arguments.model,
        arguments.dataset,
        arguments.data_dir,
        cache_dir=arguments.cache_dir,
        split=arguments.split,
        beam_size=arguments.beam_size,
        seed=arguments.seed,
        encoder_weights=arguments.encoder_weights,
        say=console.say,
        progress=console.progress,
    )
    console.say(
        "", result.heading, console.table([(n, f"{v:.4f}") for n, v in result.scores.items()], ("score", "value"))
    )
    if result.scene_scores:
        console.say("", "Against the scenes themselves:", result.describe_scenes())
    if arguments.json:
        console.write_json(arguments.json, result.scores | result.scene_scores)
    if arguments.captions_out:
        results = [{"image_id": photo_id, "caption": text} for photo_id, text in result.captions.items()]
        console.write_json(arguments.captions_out, results)
    return 0


if __name__ == "__main__":
    console.run(main)
