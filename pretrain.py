"""Teach an encoder to see: `python pretrain.py` on drawn scenes, `--teacher mobilenet` on photos."""

from pathlib import Path

from utils import console
from utils.training.recipes import RECIPES

DESCRIPTION = """Train an encoder's weights from nothing, or on from others.

Without a teacher it learns from drawn scenes that never come twice, whose labels
tell what stands at each region. With one it learns, from photos, to give the
regions that the teacher gives; captions are not needed."""

# Whole-run defaults: an hour on two cores.
_STEPS = 2000

# Of a batch, where there is a teacher too: so that colours and shapes are not forgotten.
_SCENE_SHARE = 0.125

# Of a folder, every so many photos are held out to measure on.
_HELD_OUT = 20


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    encoder = parser.add_argument_group("encoder")
    encoder.add_argument("--encoder", default="vgg16", help="vgg16, vgg19, mobilenet or resnet50 (default: vgg16)")
    encoder.add_argument(
        "--encoder_weights",
        default="random",
        help="what it begins with: random (the default), scenes, imagenet, or an .h5 file of weights",
    )
    encoder.add_argument(
        "--image_size", type=console.number(int, 32, 1024), default=112, help="pixels a side (default: 112)"
    )
    teacher = parser.add_argument_group("teacher")
    teacher.add_argument("--teacher", help="an encoder with its ImageNet weights, or a model folder with its own")
    console.add_dataset_flags(teacher, set(RECIPES) - {"shapes"})
    teacher.add_argument(
        "--photos", type=Path, nargs="+", help="photos without captions, files or folders, instead of a dataset or too"
    )
    teacher.add_argument(
        "--scene_share",
        type=console.number(float, 0, 1),
        help=f"of a batch, beside the photos (default: {_SCENE_SHARE})",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--steps", type=console.number(int, 1, 100_000_000), default=_STEPS, help=f"of the run (default: {_STEPS})"
    )
    training.add_argument(
        "--batch_size", type=console.number(int, 1, 4096), default=32, help="scenes and photos a step (default: 32)"
    )
    training.add_argument(
        "--learning_rate", type=console.number(float, 1e-8, 1), default=1e-3, help="at its peak (default: 0.001)"
    )
    training.add_argument(
        "--seed", type=console.number(int, 0, 2**31 - 1), default=0, help="fixes all randomness (default: 0)"
    )
    training.add_argument(
        "--report_minutes",
        type=console.number(float, 0.01),
        default=10,
        help="between two checkpoints, each with a row of the history and the weights so far (default: 10)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output_dir", type=Path, help="a folder for the weights (default: models/my-ENCODER)")
    output.add_argument("--overwrite", action="store_true", help="replace the weights that are there")
    output.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parsed = parser.parse_args(arguments)
    if parsed.overwrite and parsed.resume:
        parser.error("--overwrite and --resume exclude each other")
    if parsed.teacher and not (parsed.photos or parsed.dataset):
        parser.error("--teacher needs photos: name a --dataset, or a folder with --photos")
    if not parsed.teacher and (parsed.photos or parsed.dataset or parsed.scene_share is not None):
        parser.error("--dataset, --photos and --scene_share are for a --teacher")
    if parsed.scene_share is None:
        parsed.scene_share = _SCENE_SHARE if parsed.teacher else 1.0
    scenes = max(1, round(parsed.scene_share * parsed.batch_size)) if parsed.scene_share else 0
    if parsed.teacher and scenes >= parsed.batch_size:
        parser.error(
            f"--scene_share {parsed.scene_share:g} of a batch of {parsed.batch_size} leaves the teacher no photo"
        )
    if parsed.dataset or parsed.data_dir:
        console.name_datasets(parser, parsed)
    parsed.output_dir = parsed.output_dir or Path("models") / f"my-{parsed.encoder}"
    return parsed


def find_teaching_photos(arguments):
    """The files to learn from and those to measure on."""
    from utils.data.datasets import load_dataset
    from utils.data.images import find_photos, find_unreadable

    learnt, held_out = [], []
    if arguments.dataset:
        table = load_dataset(arguments.dataset, arguments.data_dir, arguments.seed)
        for note in table.notes:
            console.say(note)
        learnt += [photo.path for photo in table.split("train")]
        held_out += [photo.path for photo in table.split("val")]
    found = [path for named in arguments.photos or () for path in find_photos(named)]
    learnt += [path for number, path in enumerate(found) if number % _HELD_OUT]
    held_out += found[::_HELD_OUT]
    bad = find_unreadable([*learnt, *held_out], console.progress)
    for error in list(bad.values())[:5]:
        console.warn(f"left out: {error}")
    return [path for path in learnt if path not in bad], [path for path in held_out if path not in bad]


def open_teacher(name):
    """The Encoder of a model folder, or a registered one with its ImageNet weights."""
    from utils.captioner import Captioner
    from utils.errors import InputError
    from utils.features.encoders import ARCHITECTURES, Encoder
    from utils.files import is_dir

    if name in ARCHITECTURES:
        return Encoder(name)
    if not is_dir(name):
        raise InputError(f"--teacher {name}: neither a model folder nor one of {', '.join(ARCHITECTURES)}")
    return Captioner.from_folder(name).encoder


def main(arguments=None):
    """Pretrain, from the arguments to the folder of weights."""
    arguments = parse_arguments(arguments)
    console.import_keras()
    from utils.errors import InputError
    from utils.features.encoders import Encoder
    from utils.runtime import backend
    from utils.training import run_folder
    from utils.training.pretraining.scene_labels import SceneLabels
    from utils.training.pretraining.stage import ENCODER_FILE, HISTORY_FILE, Pretraining
    from utils.training.pretraining.teacher import TeacherRegions

    folder = arguments.output_dir
    apart = {"output_dir", "overwrite", "resume", "report_minutes"}
    settings = {name: str(value) for name, value in sorted(vars(arguments).items()) if name not in apart}
    settings["backend"] = backend.name()
    run_folder.check(folder, settings, arguments.overwrite, arguments.resume, holds=ENCODER_FILE)
    encoder = Encoder(arguments.encoder, arguments.encoder_weights, arguments.image_size, seed=arguments.seed)
    objectives, shares = [], []
    if arguments.scene_share:
        objectives.append(SceneLabels(encoder.image_size, encoder.rows, encoder.columns))
        shares.append(arguments.scene_share)
    if arguments.teacher:
        teacher = open_teacher(arguments.teacher)
        learnt, held_out = find_teaching_photos(arguments)
        if not (learnt and held_out):
            raise InputError("too few photos: at least two are needed, one to learn from and one to measure on")
        console.say(f"{len(learnt)} photos to learn from, {len(held_out)} to measure on")
        objectives.append(TeacherRegions(teacher, encoder, learnt, held_out))
        shares.append(1 - arguments.scene_share)
    run_folder.claim(folder, settings, arguments.resume)
    pretraining = Pretraining(
        encoder,
        objectives,
        shares,
        folder,
        arguments.steps,
        arguments.batch_size,
        arguments.learning_rate,
        arguments.seed,
    )
    if arguments.resume:
        pretraining.resume()

    def tell(row):
        figures = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in row.items() if name != "step")
        console.say(f"step {row['step']}: {figures}")

    pretraining.fit(arguments.report_minutes, tell, console.progress)
    for name in (run_folder.RUN_FILE, run_folder.CHECKPOINT_FILE):
        (folder / name).unlink(missing_ok=True)
    console.say(
        f"weights  {folder / ENCODER_FILE}",
        f"history  {folder / HISTORY_FILE}",
        f"to use   python train.py --encoder {encoder.name} --encoder_weights {folder / ENCODER_FILE} "
        f"--image_size {encoder.image_size}",
    )
    return 0


if __name__ == "__main__":
    console.run(main)
