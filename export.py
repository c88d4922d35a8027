"""Export a model for use without this repository: `python export.py --model models/flickr8k --format onnx`."""

from pathlib import Path

from utils import console

DESCRIPTION = """Export a trained model to one file that runs without this repository.

The file contains the encoder and greedy decoding. Its input is pixels, its
outputs are words and attention. With --format web, the result is a page that
captions photos in the browser, with beam search."""


def parse_arguments(arguments=None):
    """Parse command-line arguments, a list of str; None for those of this process. Returns an argparse.Namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument(
        "--model", type=Path, default=Path("models/flickr8k"), help="model folder (default: models/flickr8k)"
    )
    parser.add_argument(
        "--format",
        choices=("onnx", "tf_saved_model", "litert", "web"),
        default="onnx",
        help="onnx (default): for ONNX Runtime; tf_saved_model: for TensorFlow and TensorFlow Serving; litert: for "
        "phones; web: a page for the browser",
    )
    parser.add_argument("--output_dir", type=Path, help="folder to write (default: exports/MODEL-FORMAT)")
    parser.add_argument("--encoder_weights", help="file of the encoder's weights (default: where training found them)")
    parser.add_argument("--overwrite", action="store_true", help="replace files in an existing folder")
    parsed = parser.parse_args(arguments)
    parsed.output_dir = parsed.output_dir or Path("exports") / f"{parsed.model.resolve().name}-{parsed.format}"
    return parsed


def export_page(arguments):
    """Export a web page that captions photos in the browser.

    Args:
        arguments: the command line, an argparse.Namespace.

    Returns:
        The exit status, 0.
    """
    from utils.captioner import Captioner
    from utils.outputs.web_export import check_web_export, export_web

    check_web_export(arguments.output_dir, arguments.overwrite)
    captioner = Captioner.from_folder(arguments.model, arguments.encoder_weights)
    console.say(f"converting {arguments.model} to a web page; this takes up to a minute")
    folder = export_web(captioner, arguments.output_dir, arguments.model, arguments.overwrite)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    console.say(
        f"page     {folder} ({size / 1e6:.0f} MB)",
        f"open     http://localhost:8000 after `python -m http.server --directory {folder}`",
    )
    return 0


def main():
    """Run the script: export a model to a file or a web page. Returns the exit status, 0."""
    arguments = parse_arguments()
    from utils.model.model_folder import read_config

    read_config(arguments.model)
    console.import_keras()
    from utils.runtime import backend

    backend.require_tensorflow("export.py")
    from utils.captioner import Captioner
    from utils.outputs.export import check_export, export

    if arguments.format == "web":
        return export_page(arguments)
    check_export(arguments.format, arguments.output_dir, arguments.overwrite)
    captioner = Captioner.from_folder(arguments.model, arguments.encoder_weights)
    console.say(f"converting {arguments.model} to {arguments.format}; this takes up to a minute")
    path = export(captioner, arguments.format, arguments.output_dir, arguments.model, arguments.overwrite)
    files = [path] if path.is_file() else path.rglob("*")
    console.say(
        f"model    {path} ({sum(file.stat().st_size for file in files) / 1e6:.0f} MB)",
        f"example  python {arguments.output_dir / 'caption.py'} photo.jpg",
    )
    return 0


if __name__ == "__main__":
    console.run(main)
