"""Pretrain an encoder on generated pictures of coloured shapes, without captions: `python pretrain.py`."""

from pathlib import Path

from utils import console

DESCRIPTION = """Pretrain an encoder on drawn scenes.

Every training step gets new scenes. Their labels name the shape and the colour
at each region; captions are not needed."""

# Default number of training steps. They take one hour on two cores.
_STEPS = 2000


def parse_arguments(arguments=None):
    """Parse command-line arguments, a list of str; None for those of this process. Returns an argparse.Namespace."""
    parser = console.Parser(DESCRIPTION)
    encoder = parser.add_argument_group("encoder")
    encoder.add_argument("--encoder", default="vgg16", help="vgg16, vgg19, mobilenet or resnet50 (default: vgg16)")
    encoder.add_argument(
        "--encoder_weights",
        default="random",
        help="initial weights: random (the default), scenes, imagenet, or an .h5 file",
    )
    encoder.add_argument(
        "--image_size",
        type=console.number(int, 32, 1024),
        default=112,
        help="side of the scenes in pixels (default: 112)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--steps", type=console.number(int, 1, 100_000_000), default=_STEPS, help=f"training steps (default: {_STEPS})"
    )
    training.add_argument(
        "--batch_size", type=console.number(int, 1, 4096), default=32, help="scenes per step (default: 32)"
    )
    training.add_argument(
        "--learning_rate", type=console.number(float, 1e-8, 1), default=1e-3, help="peak learning rate (default: 0.001)"
    )
    training.add_argument(
        "--seed", type=console.number(int, 0, 2**31 - 1), default=0, help="seed of all random numbers (default: 0)"
    )
    training.add_argument(
        "--report_minutes",
        type=console.number(float, 0.01),
        default=10,
        help="minutes between two checkpoints, each with a history row and the weights so far (default: 10)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output_dir", type=Path, help="folder for the weights (default: models/my-ENCODER)")
    output.add_argument("--overwrite", action="store_true", help="replace existing weights")
    output.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parsed = parser.parse_args(arguments)
    if parsed.overwrite and parsed.resume:
        parser.error("--overwrite and --resume exclude each other")
    parsed.output_dir = parsed.output_dir or Path("models") / f"my-{parsed.encoder}"
    return parsed


def main(arguments=None):
    """Run the script: pretrain an encoder on generated pictures of coloured shapes and write its weights.

    `arguments` is the command line, a list of str; None for that of this process. Returns the exit status, 0.
    """
    arguments = parse_arguments(arguments)
    console.import_keras()
    from utils.features.encoders import Encoder
    from utils.runtime import backend
    from utils.training import run_folder
    from utils.training.pretraining.scene_labels import SceneLabels
    from utils.training.pretraining.stage import ENCODER_FILE, HISTORY_FILE, Pretraining

    folder = arguments.output_dir
    apart = {"output_dir", "overwrite", "resume", "report_minutes"}
    settings = {name: str(value) for name, value in sorted(vars(arguments).items()) if name not in apart}
    settings["backend"] = backend.name()
    run_folder.check(folder, settings, arguments.overwrite, arguments.resume, holds=ENCODER_FILE)
    encoder = Encoder(arguments.encoder, arguments.encoder_weights, arguments.image_size, seed=arguments.seed)
    run_folder.claim(folder, settings, arguments.resume)
    pretraining = Pretraining(
        encoder,
        SceneLabels(encoder.image_size, encoder.rows, encoder.columns),
        folder,
        arguments.steps,
        arguments.batch_size,
        arguments.learning_rate,
        arguments.seed,
    )
    if arguments.resume:
        pretraining.resume()

    def report(row):
        figures = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in row.items() if name != "step")
        console.say(f"step {row['step']}: {figures}")

    pretraining.fit(arguments.report_minutes, report, console.progress)
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
