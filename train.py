"""Train a captioner: `python train.py` on the embedded sample, `--dataset flickr8k` on photos."""

import argparse
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path

from utils import console
from utils.training import run_folder
from utils.training.recipes import RECIPES, STARTED, Recipe

DESCRIPTION = """Train an image captioner with visual attention.

Without arguments it draws its own sample of scenes and trains on them in
minutes, with no download. Flags left out take the dataset's recipe."""

# The model that training on one's own photos starts from.
START = Path(__file__).resolve().parent / "models" / "flickr8k"

# Fields of the recipe that have a flag of their own.
_FLAGS = (
    "encoder", "encoder_weights", "image_size", "finetune_encoder", "tagging_epochs", "finetune_epochs", "epochs",
    "scst_epochs", "batch_size", "learning_rate", "min_word_count", "precision",
)  # fmt: skip

# Other models, or parts of them, than the one that training starts from by default.
_FROM_NOTHING = ("encoder", "encoder_weights", "image_size")


def setting(text):
    """An argument type: `units=256` as ("units", 256), a field of the recipe and its value."""
    name, _, value = text.partition("=")
    known = {field.name: field.type for field in fields(Recipe) if field.name != "start_from"}
    if name not in known or not value:
        raise argparse.ArgumentTypeError(f"{text!r} sets nothing: give NAME=VALUE, where NAME is {', '.join(known)}")
    kinds = getattr(known[name], "__args__", (known[name],))
    if value == "none" and type(None) in kinds:
        return name, None
    if kinds[0] is bool:
        if value not in ("true", "false"):
            raise argparse.ArgumentTypeError(f"{text!r}: {name} is true or false")
        return name, value == "true"
    try:
        return name, kinds[0](value)
    except ValueError:
        what = "a whole number" if kinds[0] is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r}: {name} is {what}") from None


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    data = parser.add_argument_group("data")
    console.add_dataset_flags(data, RECIPES)
    data.add_argument("--cache_dir", type=Path, help="folder of the region caches (default: data/cache)")
    data.add_argument(
        "--shard", type=console.part, metavar="K/N", help="only extract the regions of the Kth of N parts of the photos"
    )
    data.add_argument("--min_word_count", type=console.number(int, 1), help="rarer words are not learnt")
    start = parser.add_argument_group("start")
    start.add_argument(
        "--start_from",
        metavar="MODEL",
        help="a model folder whose encoder, decoder and vocabulary training begins with, so that few photos suffice "
        "(default for --dataset custom: models/flickr8k); none begins with nothing",
    )
    encoder = parser.add_argument_group("encoder")
    encoder.add_argument("--encoder", help="vgg16, vgg19, mobilenet or resnet50 (default: vgg16)")
    encoder.add_argument(
        "--encoder_weights", help="imagenet, scenes, random, or an .h5 file, of pretrain.py or in Keras's layout"
    )
    encoder.add_argument(
        "--image_size",
        type=console.number(int, 32, 1024),
        help="pixels a side (default: what weights of pretrain.py have learnt at, otherwise 224)",
    )
    encoder.add_argument(
        "--finetune_encoder",
        metavar="LAYER",
        nargs="?",
        const="default",
        help="after the decoder, train the encoder's layers above LAYER too (default: the encoder's own); "
        "none leaves it as it is",
    )
    encoder.add_argument(
        "--tagging_epochs",
        type=console.number(int, 0, 10_000),
        help="of an encoder that is trained: at most so many before the decoder, in which it learns to name the words "
        f"of captions (default: {Recipe.tagging_epochs})",
    )
    encoder.add_argument(
        "--finetune_epochs",
        type=console.number(int, 0, 10_000),
        help=f"and so many after it, together with the decoder (default: {Recipe.finetune_epochs})",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs", type=console.number(int, 1, 10_000), help="at most; it stops when validation no longer improves"
    )
    training.add_argument(
        "--batch_size", type=console.number(int, 1, 4096), help="photos a step, each with all its captions"
    )
    training.add_argument(
        "--scst_epochs",
        type=console.number(int, 0, 10_000),
        help="at most, of self-critical training (rewarded by CIDEr-D and METEOR) at the end",
    )
    training.add_argument("--learning_rate", type=console.number(float, 1e-8, 1), help="at its peak, before it decays")
    training.add_argument("--seed", type=console.number(int, 0, 2**31 - 1), help="fixes all randomness (default: 0)")
    training.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        help="of matrix products (default: auto, bfloat16 where the GPU or the processor has instructions for it)",
    )
    training.add_argument(
        "--set",
        type=setting,
        nargs="+",
        metavar="NAME=VALUE",
        help="any field of the recipe, as units=256 dropout=.3; utils/training/recipes.py lists them",
    )
    training.add_argument(
        "--distribute",
        choices=("mirrored", "multiworker"),
        help="share each batch among this machine's GPUs (mirrored), or among the machines that TF_CONFIG names "
        "(multiworker)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output_dir", type=Path, help="the model folder (default: models/DATASET)")
    output.add_argument("--overwrite", action="store_true", help="replace the model that is there")
    output.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="FOLDER",
        help="continue the interrupted run in FOLDER (default: --output_dir); no other flag is needed",
    )
    output.add_argument(
        "--consensus_only",
        action="store_true",
        help="only fit the consensus of the model that is there, by which captions are ranked; its card keeps the "
        "scores of before",
    )
    output.add_argument(
        "--confidence_only",
        action="store_true",
        help="only fit how sure the captions of the model that is there are",
    )
    parsed = parser.parse_args(arguments)
    if parsed.overwrite and parsed.resume:
        parser.error("--overwrite and --resume exclude each other")
    if parsed.consensus_only and (parsed.overwrite or parsed.resume or parsed.shard or parsed.distribute):
        parser.error("--consensus_only trains nothing: leave --overwrite, --resume, --shard and --distribute out")
    if parsed.confidence_only and (
        parsed.consensus_only or parsed.overwrite or parsed.resume or parsed.shard or parsed.distribute
    ):
        parser.error(
            "--confidence_only trains nothing: leave --overwrite, --resume, --shard and --distribute out, and "
            "--consensus_only, which fits the confidence too"
        )
    if parsed.shard and parsed.distribute:
        parser.error("--shard and --distribute exclude each other: the first extracts regions, the second trains")
    if parsed.finetune_encoder in (None, "none"):
        for name in ("tagging_epochs", "finetune_epochs"):
            if getattr(parsed, name) is not None and not parsed.resume:
                parser.error(f"--{name} is for an encoder that is trained: add --finetune_encoder")
    given = [name for name in _FLAGS if getattr(parsed, name) is not None]
    for name, _ in parsed.set or ():
        if name in given:
            parser.error(f"{name} is given twice")
        given.append(name)
    if parsed.resume:
        _take_from_run(parser, parsed)
    else:
        console.name_datasets(parser, parsed)
        parsed.begun = None
    parsed.output_dir = parsed.output_dir or Path("models") / parsed.dataset
    parsed.seed, parsed.cache_dir = parsed.seed or 0, parsed.cache_dir or Path("data/cache")
    return parsed


def _take_from_run(parser, parsed):
    """Complete the arguments with those that the run to be resumed was begun with."""
    if parsed.resume is not True:
        if parsed.output_dir and parsed.output_dir != Path(parsed.resume):
            parser.error(f"--resume {parsed.resume} and --output_dir {parsed.output_dir} are two folders: give one")
        parsed.output_dir = Path(parsed.resume)
    folder = parsed.output_dir or Path("models") / "+".join(parsed.dataset or ["shapes"])
    parsed.begun, parsed.output_dir, parsed.resume = run_folder.read(folder), folder, True
    places = parsed.begun.get("places", {})
    if not parsed.dataset:
        parsed.dataset = parsed.begun.get("dataset", "shapes").split("+")
    if not parsed.data_dir and "data_dir" in places:
        found = places["data_dir"]
        parsed.data_dir = [Path(place) for place in (found if isinstance(found, list) else [found])]
    if parsed.cache_dir is None and "cache_dir" in places:
        parsed.cache_dir = Path(places["cache_dir"])
    if parsed.seed is None:
        parsed.seed = parsed.begun.get("seed")
    console.name_datasets(parser, parsed)


def choose_recipe(arguments):
    """The recipe of the dataset, or of the first of several, with the flags that were given.

    Weights of `pretrain.py` come with the size that they have learnt at; a
    model to start from comes with all that decides its form.

    Raises:
        InputError: a value that cannot be trained with.
    """
    from utils.features.encoders import learnt_size
    from utils.training.start import inherit

    given = {name: getattr(arguments, name) for name in _FLAGS if getattr(arguments, name) is not None}
    if given.get("finetune_encoder") == "none":
        given["finetune_encoder"] = None
    given |= dict(arguments.set or ())
    if arguments.begun:
        return _recipe_of_run(arguments, given)
    recipe = RECIPES[arguments.dataset.split("+")[0]]
    if "epochs" in given:
        given.setdefault("least_steps", 0)
    start = arguments.start_from
    if start is None and arguments.dataset == "custom" and not any(name in given for name in _FROM_NOTHING):
        start = START if (START / "config.json").is_file() else None
    if start not in (None, "none"):
        recipe = replace(recipe, **STARTED | given, start_from=_shown(start))
        recipe.check()
        return inherit(recipe, given)
    if given.get("encoder", recipe.encoder) != recipe.encoder:
        # The recipe's weights and layer are those of its own encoder.
        given = {name: getattr(Recipe, name) for name in ("encoder_weights", "layer")} | given
    recipe = replace(recipe, **given)
    if "encoder_weights" in given and "image_size" not in given:
        recipe = replace(recipe, image_size=learnt_size(recipe.encoder, recipe.encoder_weights) or recipe.image_size)
    recipe.check()
    return recipe


def _recipe_of_run(arguments, given):
    """The recipe that a run was begun with; what is given beside --resume overrules it, and is refused by `train`."""
    known = {field.name for field in fields(Recipe)}
    begun = {name: value for name, value in arguments.begun.get("recipe", {}).items() if name in known}
    if arguments.start_from:
        begun["start_from"] = None if arguments.start_from == "none" else _shown(arguments.start_from)
    recipe = replace(Recipe(**begun), **given)
    recipe.check()
    return recipe


def _shown(folder):
    """A folder as short as it can be written."""
    folder = Path(folder)
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def main(arguments=None, callbacks=()):
    """Train, from the arguments (those of the command line if None) to the model folder."""
    arguments = parse_arguments(arguments)
    console.import_keras()
    from utils.training.pipeline import extract_part, kept_of_run, train

    recipe = choose_recipe(arguments)

    common = {"seed": arguments.seed, "reporter": console.REPORTER}
    if arguments.shard:
        extract_part(
            arguments.shard,
            arguments.dataset,
            arguments.data_dir,
            arguments.cache_dir,
            recipe,
            **common,
        )
        return 0
    if arguments.confidence_only:
        from utils.training.confidence import add_confidence

        folders = arguments.data_dir, arguments.cache_dir, arguments.output_dir
        add_confidence(arguments.dataset, *folders, arguments.encoder_weights, **common)
        console.say(f"model  {arguments.output_dir}")
        return 0
    if arguments.consensus_only:
        from utils.training.consensus import add_consensus

        folders = arguments.data_dir, arguments.cache_dir, arguments.output_dir
        add_consensus(arguments.dataset, *folders, arguments.encoder_weights, **common)
        console.say(f"model  {arguments.output_dir}")
        return 0
    with console.ending_at_once() if arguments.distribute == "multiworker" else nullcontext():
        try:
            captioner = train(
                arguments.dataset,
                arguments.data_dir,
                arguments.cache_dir,
                arguments.output_dir,
                recipe,
                overwrite=arguments.overwrite,
                resume=bool(arguments.resume),
                callbacks=callbacks,
                distribute=arguments.distribute,
                **common,
            )
        except KeyboardInterrupt:
            console.say("", *kept_of_run(arguments.output_dir))
            raise
        if captioner:
            show(captioner, arguments)
        else:
            console.say(f"done; the first worker has written {arguments.output_dir}")
    return 0


def show(captioner, arguments):
    """Caption photos the model has never seen, and say what is in the folder now."""
    from utils.data.datasets import load_dataset
    from utils.outputs.plots import attention_figure, save_figure

    photos = load_dataset(arguments.dataset, arguments.data_dir, arguments.seed).split("val")[:8]
    captions = captioner.caption([photo.path for photo in photos], on_error=lambda path, error: console.warn(error))
    console.say("", "Captions of validation photos:", *(f"  {caption.path}: {caption.text}" for caption in captions))
    if arguments.dataset == "shapes":
        show_scene_scores(captioner, arguments)
    folders = arguments.data_dir if isinstance(arguments.data_dir, list) else [arguments.data_dir]
    picture = arguments.output_dir / "attention.png"
    save_figure(attention_figure(captions[0]), picture)
    console.say(
        "",
        f"model       {arguments.output_dir}",
        f"curves      {arguments.output_dir / 'training.png'}",
        f"attention   {picture}",
        f"scores      python evaluate.py --model {arguments.output_dir} --dataset {arguments.dataset.replace('+', ' ')}"
        f" --data_dir {' '.join(map(str, folders))}",
        f"your photo  python inference.py --model {arguments.output_dir} --image_path PHOTO",
    )


def show_scene_scores(captioner, arguments):
    """Compare captions with the scenes themselves, on scenes and on pairs of colour and shape it never saw."""
    from utils.evaluation.evaluate import evaluate_captioner, open_split

    splits = {"test": "scenes it never saw", "unseen": "pairs of colour and shape it never saw"}
    for name, description in splits.items():
        split = open_split(arguments.dataset, arguments.data_dir, name, arguments.seed)
        (result,) = evaluate_captioner(split, captioner, arguments.output_dir, arguments.cache_dir)
        console.say("", f"On {description}:", *result.describe_scenes())


if __name__ == "__main__":
    console.run(main)
