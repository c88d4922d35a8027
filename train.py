"""Train a captioner: `python train.py` on generated pictures, `python train.py --dataset flickr8k` on photos."""

import argparse
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path

from utils import console
from utils.training import run_folder
from utils.training.recipes import RECIPES, START_FROM_DEFAULTS, Recipe

DESCRIPTION = """Train an image captioner with visual attention.

Without arguments it draws a sample of scenes and trains on it in minutes, with
no download. Flags that are not given take the values of the dataset's recipe."""

# Model that training on your own photos starts from by default.
START = Path(__file__).resolve().parent / "models" / "flickr8k"

# Fields of the recipe that have their own flags.
_FLAGS = (
    "encoder", "encoder_weights", "image_size", "finetune_encoder", "tagging_epochs", "finetune_epochs", "epochs",
    "scst_epochs", "batch_size", "learning_rate", "min_word_count", "precision",
)  # fmt: skip

# If one of these flags is given, training on your own photos does not start from START.
_FROM_NOTHING = ("encoder", "encoder_weights", "image_size")


def setting(text):
    """Convert an argument such as "units=256" to ("units", 256), the name and the value of a training setting."""
    name, _, value = text.partition("=")
    known = {field.name: field.type for field in fields(Recipe) if field.name != "start_from"}
    if name not in known or not value:
        raise argparse.ArgumentTypeError(f"{text!r}: must be NAME=VALUE, where NAME is {', '.join(known)}")
    kinds = getattr(known[name], "__args__", (known[name],))
    if value == "none" and type(None) in kinds:
        return name, None
    if kinds[0] is bool:
        if value not in ("true", "false"):
            raise argparse.ArgumentTypeError(f"{text!r}: {name} must be true or false")
        return name, value == "true"
    try:
        return name, kinds[0](value)
    except ValueError:
        what = "a whole number" if kinds[0] is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r}: {name} must be {what}") from None


def parse_arguments(arguments=None):
    """Parse the arguments of the command line.

    Args:
        arguments: a list of str; None for the arguments of this process.

    Returns:
        An argparse.Namespace. Its attribute `begun` is a dict with the settings of the run that is resumed, or None.
    """
    parser = console.Parser(DESCRIPTION)
    data = parser.add_argument_group("data")
    console.add_dataset_flags(data, RECIPES)
    data.add_argument("--cache_dir", type=Path, help="folder of the region caches (default: data/cache)")
    data.add_argument(
        "--shard", type=console.part, metavar="K/N", help="only extract regions, of part K of N parts of the photos"
    )
    data.add_argument(
        "--min_word_count",
        type=console.number(int, 1),
        help="count from which a word of the training captions is known (default: 5; shapes 1; with --start_from 1)",
    )
    start = parser.add_argument_group("start")
    start.add_argument(
        "--start_from",
        metavar="MODEL",
        help="model folder whose encoder, decoder and vocabulary training starts from, so that few photos suffice; "
        "none: start from random weights (default: models/flickr8k with --dataset custom, otherwise none)",
    )
    encoder = parser.add_argument_group("encoder")
    encoder.add_argument("--encoder", help="vgg16, vgg19, mobilenet or resnet50 (default: vgg16)")
    encoder.add_argument(
        "--encoder_weights", help="imagenet, scenes, random, or an .h5 file in Keras's layout or from pretrain.py"
    )
    encoder.add_argument(
        "--image_size",
        type=console.number(int, 32, 1024),
        help="side of the photos in pixels (default: 224, or the training size of weights from pretrain.py)",
    )
    encoder.add_argument(
        "--finetune_encoder",
        metavar="LAYER",
        nargs="?",
        const="default",
        help="also train the encoder's layers above LAYER (without LAYER: a default layer of each encoder); none: do "
        "not train the encoder",
    )
    encoder.add_argument(
        "--tagging_epochs",
        type=console.number(int, 0, 10_000),
        help="maximum epochs of encoder training before the decoder, on the words of captions "
        f"(default: {Recipe.tagging_epochs})",
    )
    encoder.add_argument(
        "--finetune_epochs",
        type=console.number(int, 0, 10_000),
        help=f"maximum epochs of joint encoder and decoder fine-tuning (default: {Recipe.finetune_epochs})",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        type=console.number(int, 0, 10_000),
        help="maximum epochs of decoder training; it stops early when validation stops improving; 0, with "
        "--start_from: leave it out, and begin with --finetune_encoder or --scst_epochs",
    )
    training.add_argument(
        "--batch_size", type=console.number(int, 1, 4096), help="photos per step, each with all its captions"
    )
    training.add_argument(
        "--scst_epochs",
        type=console.number(int, 0, 10_000),
        help="maximum epochs of self-critical training at the end, with CIDEr-D and METEOR as reward",
    )
    training.add_argument(
        "--learning_rate", type=console.number(float, 1e-8, 1), help="peak learning rate; it warms up and decays"
    )
    training.add_argument(
        "--seed", type=console.number(int, 0, 2**31 - 1), help="seed of all random numbers (default: 0)"
    )
    training.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        help="precision of matrix products; auto: bfloat16 if the GPU or the processor supports it (default: auto)",
    )
    training.add_argument(
        "--set",
        type=setting,
        nargs="+",
        metavar="NAME=VALUE",
        help="fields of the recipe, such as units=256 dropout=.3; utils/training/recipes.py lists them",
    )
    training.add_argument(
        "--distribute",
        choices=("mirrored", "multiworker"),
        help="divide each batch among this machine's GPUs (mirrored), or among the machines in TF_CONFIG (multiworker)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output_dir", type=Path, help="model folder to write (default: models/DATASET)")
    output.add_argument("--overwrite", action="store_true", help="replace an existing model")
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
        help="only fit the consensus, which re-ranks captions, of an existing model; its card keeps the earlier scores",
    )
    output.add_argument(
        "--confidence_only",
        action="store_true",
        help="only fit the confidence of an existing model's captions",
    )
    parsed = parser.parse_args(arguments)
    if parsed.overwrite and parsed.resume:
        parser.error("--overwrite and --resume exclude each other")
    if parsed.consensus_only and (parsed.overwrite or parsed.resume or parsed.shard or parsed.distribute):
        parser.error("--consensus_only trains nothing: leave out --overwrite, --resume, --shard and --distribute")
    if parsed.confidence_only and (
        parsed.consensus_only or parsed.overwrite or parsed.resume or parsed.shard or parsed.distribute
    ):
        parser.error(
            "--confidence_only trains nothing: leave out --overwrite, --resume, --shard, --distribute and "
            "--consensus_only (which fits the confidence too)"
        )
    if parsed.shard and parsed.distribute:
        parser.error("--shard and --distribute exclude each other: the first extracts regions, the second trains")
    if parsed.finetune_encoder in (None, "none"):
        for name in ("tagging_epochs", "finetune_epochs"):
            if getattr(parsed, name) is not None and not parsed.resume:
                parser.error(f"--{name} needs an encoder that is trained: add --finetune_encoder")
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
    """Store the settings of the interrupted run in `parsed.begun`, and use them for arguments that the user left out.

    Args:
        parser: a console.Parser, which reports errors.
        parsed: the argparse.Namespace, which is changed.
    """
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
    """Choose the settings of a run: the dataset's default settings, changed by the flags that the user has given.

    - For several datasets, the default settings are those of the first one.
    - If the encoder weights are those of pretrain.py, the image size is the one with which they were trained.
    - If training starts from a model, all settings on which the shapes of the weights depend are those of this model.
    - A resumed run keeps its settings.

    Args:
        arguments: the command line, an argparse.Namespace.

    Returns:
        A Recipe, which holds all settings of a training run.

    Raises:
        InputError: a value is invalid.
    """
    from utils.features.encoder_weights import learnt_size
    from utils.training.start_from_model import inherit

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
        recipe = replace(recipe, **START_FROM_DEFAULTS | given, start_from=_shown(start))
        recipe.check()
        return inherit(recipe, given)
    if given.get("encoder", recipe.encoder) != recipe.encoder:
        # The weights and the layer in the recipe fit only the recipe's encoder.
        given = {name: getattr(Recipe, name) for name in ("encoder_weights", "layer")} | given
    recipe = replace(recipe, **given)
    if "encoder_weights" in given and "image_size" not in given:
        recipe = replace(recipe, image_size=learnt_size(recipe.encoder, recipe.encoder_weights) or recipe.image_size)
    recipe.check()
    return recipe


def _recipe_of_run(arguments, given):
    """Return the Recipe (settings) of the run that is resumed, with the settings that the user has given now.

    If a given setting differs from that of the run, training reports an error later.

    Args:
        arguments: the command line, an argparse.Namespace.
        given: a dict from the name of a setting to the value that the user has given.
    """
    known = {field.name for field in fields(Recipe)}
    begun = {name: value for name, value in arguments.begun.get("recipe", {}).items() if name in known}
    if arguments.start_from:
        begun["start_from"] = None if arguments.start_from == "none" else _shown(arguments.start_from)
    recipe = replace(Recipe(**begun), **given)
    recipe.check()
    return recipe


def _shown(folder):
    """Return the path of a folder as a string: relative if the folder is in the working folder, else unchanged."""
    folder = Path(folder)
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def main(arguments=None, callbacks=()):
    """Run the script: train a captioner, or do only the work that a flag such as --consensus_only names.

    Args:
        arguments: the arguments of the command line, a list of str; None for those of this process.
        callbacks: list of Keras callbacks, passed to `Model.fit`.

    Returns:
        The exit status, 0.
    """
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
        from utils.training.fit_confidence import add_confidence

        folders = arguments.data_dir, arguments.cache_dir, arguments.output_dir
        add_confidence(arguments.dataset, *folders, arguments.encoder_weights, **common)
        console.say(f"model  {arguments.output_dir}")
        return 0
    if arguments.consensus_only:
        from utils.training.fit_consensus import add_consensus

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
            console.say(f"done; the first worker wrote {arguments.output_dir}")
    return 0


def show(captioner, arguments):
    """Show the result of training: print captions of some validation photos, and what the model folder holds.

    `captioner` is the trained Captioner. `arguments` is the command line, an argparse.Namespace.
    """
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
    """Print how well captions of generated pictures name the coloured shapes in them.

    Some of the pictures show pairs of colour and shape that are in no training picture.

    `captioner` is the trained Captioner. `arguments` is the command line, an argparse.Namespace.
    """
    from utils.evaluation.evaluate import evaluate_captioner, open_split

    splits = {"test": "unseen scenes", "unseen": "unseen pairs of colour and shape"}
    for name, description in splits.items():
        split = open_split(arguments.dataset, arguments.data_dir, name, arguments.seed)
        (result,) = evaluate_captioner(split, captioner, arguments.output_dir, arguments.cache_dir)
        console.say("", f"On {description}:", *result.describe_scenes())


if __name__ == "__main__":
    console.run(main)
