"""Caption photos: `python inference.py --image_path photo.jpg`."""

from pathlib import Path

from utils import console

DESCRIPTION = """Write a caption for a photo, or for every photo in a folder.

Without --image_path it captions the portrait that comes with matplotlib."""


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument("--image_path", type=Path, help="a photo, or a folder of photos")
    parser.add_argument(
        "--model", type=Path, default=Path("models/flickr8k"), help="the model folder (default: models/flickr8k)"
    )
    parser.add_argument("--encoder_weights", help="where the encoder's weights are, if not where they were in training")
    parser.add_argument("--beam_size", type=console.number(int, 1, 100), default=3, help="hypotheses kept (default: 3)")
    parser.add_argument(
        "--attention_map",
        type=Path,
        metavar="FILE",
        help="draw where each word looked; of several photos, a folder with a picture of each",
    )
    return parser.parse_args(arguments)


def main():
    """Caption, from the arguments to the sentences."""
    arguments = parse_arguments()
    from utils.images import find_photos, open_photo, sample_photo
    from utils.model_folder import read_config

    read_config(arguments.model)
    paths = find_photos(arguments.image_path) if arguments.image_path else [sample_photo()]
    single = not (arguments.image_path and arguments.image_path.is_dir())
    if single:
        open_photo(paths[0])  # a bad photo is told at once, not after the model is loaded
        console.check_outputs([arguments.attention_map])
    console.import_tensorflow()
    from utils.captioner import Captioner
    from utils.plots import attention_figure, save_figure

    captioner = Captioner.from_folder(arguments.model, arguments.encoder_weights)
    bad = []
    captions = captioner.caption_each(
        paths, arguments.beam_size, None if single else lambda path, error: bad.append(error) or console.warn(error)
    )
    count = 0
    for caption in captions:
        count += 1
        console.say(caption.text if single else f"{caption.path}\t{caption.text}")
        if arguments.attention_map:
            target = arguments.attention_map
            if not single:
                target = target / caption.path.relative_to(arguments.image_path).with_suffix(".png")
            save_figure(attention_figure(caption), target)
    if bad:
        console.warn(f"{len(bad)} of {len(paths)} photos could not be read")
    if not count:
        console.fail(f"{arguments.image_path}: no photo could be read")
    return 0


if __name__ == "__main__":
    console.run(main)
