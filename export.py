"""Export a model for use without this repository: `python export.py --model models/flickr8k --format onnx`."""

from pathlib import Path

from utils import console

DESCRIPTION = """Write a trained model as one file that needs nothing of this repository.

Encoder, attention and the search of the words are all in it: pixels go in,
words and attention come out. It decodes greedily (a beam of one)."""


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument(
        "--model", type=Path, default=Path("models/flickr8k"), help="the model folder (default: models/flickr8k)"
    )
    parser.add_argument(
        "--format",
        choices=("onnx", "tf_saved_model", "litert", "web"),
        default="onnx",
        help="onnx (the default) for ONNX Runtime, tf_saved_model for TensorFlow and its servers, litert for phones, "
        "web for a page that captions photos in the browser",
    )
    parser.add_argument("--output_dir", type=Path, help="a folder for it (default: exports/MODEL-FORMAT)")
    parser.add_argument("--encoder_weights", help="where the encoder's weights are, if not where they were in training")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in that folder")
    parsed = parser.parse_args(arguments)
    parsed.output_dir = parsed.output_dir or Path("exports") / f"{parsed.model.resolve().name}-{parsed.format}"
    return parsed


def export_page(arguments):
    """Export a page for the browser."""
    from utils.captioner import Captioner
    from utils.outputs.web_export import check_web_export, export_web

    check_web_export(arguments.output_dir, arguments.overwrite)
    captioner = Captioner.from_folder(arguments.model, arguments.encoder_weights)
    console.say(f"converting {arguments.model} to a web page: up to a minute")
    folder = export_web(captioner, arguments.output_dir, arguments.model, arguments.overwrite)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    console.say(
        f"page     {folder} ({size / 1e6:.0f} MB)",
        f"open     python -m http.server --directory {folder}, then http://localhost:8000",
    )
    return 0


def main():
    """Export, from the arguments to the folder."""
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
    console.say(f"converting {arguments.model} to {arguments.format}: up to a minute")
    path = export(captioner, arguments.format, arguments.output_dir, arguments.model, arguments.overwrite)
    files = [path] if path.is_file() else path.rglob("*")
    console.say(
        f"model    {path} ({sum(file.stat().st_size for file in files) / 1e6:.0f} MB)",
        f"example  python {arguments.output_dir / 'caption.py'} photo.jpg",
    )
    return 0


if __name__ == "__main__":
    console.run(main)
