"""Caption photos: `python inference.py photo.jpg`."""

import os
import sys
from collections import Counter
from pathlib import Path

from utils import console, files

DESCRIPTION = """Write a caption for one photo or for thousands.

Without a PHOTO, it captions the sample portrait of matplotlib.
Existing files are replaced only with --overwrite."""


def parse_arguments(arguments=None):
    """Parse command-line arguments, a list of str; None for those of this process. Returns an argparse.Namespace."""
    from utils.model.confidence import UNSURE
    from utils.model.model_folder import find_model

    parser = console.Parser(DESCRIPTION)
    parser.add_argument(
        "photos",
        nargs="*",
        metavar="PHOTO",
        help="file, folder, pattern in quotes ('album/**/*.jpg') or http(s) address; - reads a photo, or a list of "
        "photos, from standard input",
    )
    parser.add_argument("--image_path", nargs="+", default=[], metavar="PHOTO", help="the same as PHOTO")
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("models/flickr8k"),
        metavar="FOLDER",
        help="model folder (default: models/flickr8k)",
    )
    parser.add_argument(
        "--shard",
        type=console.part,
        metavar="K/N",
        help="caption only the Kth of N parts of the photos; the outputs of all parts together equal those of one run",
    )
    parser.add_argument("--encoder_weights", help="file of the encoder's weights (default: where training found them)")
    search = parser.add_argument_group("search")
    search.add_argument(
        "--beam_size", type=console.number(int, 1, 100), default=5, help="hypotheses kept in beam search (default: 5)"
    )
    search.add_argument(
        "--num_captions",
        type=console.number(int, 1, 20),
        default=1,
        help="maximum number of different captions of each photo, by diverse beam search; they come best first and "
        "with their scores (default: 1)",
    )
    search.add_argument(
        "--temperature",
        type=console.number(float, 0.01, 10),
        help="sample captions at random instead of beam search; 1 samples from the model's probabilities, lower values "
        "prefer likely words",
    )
    search.add_argument(
        "--seed", type=console.number(int, 0, 2**31 - 1), default=0, help="random seed of the sampling (default: 0)"
    )
    output = parser.add_argument_group("output")
    table = output.add_mutually_exclusive_group()
    for form, what in (("json", "JSON Lines, one object per photo"), ("csv", "CSV, one row per caption")):
        table.add_argument(
            f"--{form}",
            nargs="?",
            const="-",
            metavar="FILE",
            help=f"write the captions as {what}, to FILE or to standard output",
        )
    output.add_argument(
        "--alt_text",
        choices=("file", "metadata"),
        help="write the first caption of each photo as alternative text; file: to photo.jpg.txt beside photo.jpg; "
        "metadata: into the photo's EXIF and XMP data with ExifTool, which keeps a backup photo.jpg_original",
    )
    output.add_argument(
        "--min_confidence",
        type=console.number(float, 0, 1),
        metavar="X",
        help="skip photos whose caption has a confidence below X; confidence is the probability that the caption is "
        f"right, or right in its main point (default: skip none; {UNSURE} for --alt_text)",
    )
    output.add_argument(
        "--attention_map",
        metavar="PATH",
        help="write a picture with the attention of each word, as .png, .jpg, .webp, .tif, .pdf or .svg; for several "
        "photos, a folder with one .png each",
    )
    output.add_argument(
        "--overwrite",
        action="store_true",
        help="replace existing files and alternative texts; ExifTool then keeps no backup",
    )
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # After `--` all arguments are photos. `parse_intermixed_args` does not know this.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parsed = parser.parse_intermixed_args(arguments[:end])
    for name in parsed.photos:
        if os.path.isfile(find_model(name) / "decoder.weights.h5"):  # False for web addresses of any length
            parser.error(f"{name}: a model, not a photo; --model takes one model folder; evaluate.py compares several")
    parsed.photos += parsed.image_path + arguments[end + 1 :]
    return parsed


def main(arguments=None):
    """Run the script: caption photos and write the results.

    `arguments` is the command line, a list of str; None for that of this process. Returns the exit status, 0.
    """
    arguments = parse_arguments(arguments)
    from utils.data.images import open_photo
    from utils.data.photo_files import is_photo, sample_photo
    from utils.data.photo_sources import find_sources, is_single, part_of, result_paths
    from utils.errors import InputError
    from utils.model.model_folder import find_model, read_config
    from utils.outputs import alt_text

    read_config(arguments.model)
    if arguments.min_confidence and not files.is_file(find_model(arguments.model) / "confidence.json"):
        raise InputError(
            f"--min_confidence: captions of {arguments.model} have no confidence; train.py --confidence_only "
            "adds one, from 50 val photos or more"
        )
    names = arguments.photos or [str(sample_photo())]
    with files.temporary_folder("captions-") as folder:
        sources = find_sources(names, folder, sys.stdin.buffer, console.warn)
        single = is_single(names, sources) and not arguments.shard
        if single and sources[0].local:
            open_photo(sources[0].path)  # report a bad photo before the model is loaded
        target = arguments.attention_map and Path(arguments.attention_map)
        into_folder = target and (not single or files.is_dir(target) or arguments.attention_map.endswith(("/", os.sep)))
        pictures = result_paths(sources, target, ".png") if into_folder else [target] * len(sources)
        if arguments.shard:
            sources, pictures = part_of(sources, *arguments.shard), part_of(pictures, *arguments.shard)
        if target and not into_folder:
            from utils.outputs.plots import check_format

            check_format(target)
        elif target and is_photo(target) and not files.is_dir(target):
            raise InputError(f"{target}: named like a picture; --attention_map takes a folder for several photos")
        table = arguments.json or arguments.csv or "-"
        if is_photo(table):
            raise InputError(
                f"{table}: named like a photo; --json and --csv take the file to write, so put photos before them"
            )
        console.check_outputs([None if table == "-" else Path(table), *pictures], arguments.overwrite)
        if arguments.alt_text:
            alt_text.check(sources, arguments.alt_text)
            if not arguments.overwrite:
                sources, pictures = leave_out_described(sources, pictures, arguments)
                if not sources:
                    return 0
        console.import_keras()
        with console.open_output(table) as stream:
            captioned = write_captions(sources, single, pictures, stream, arguments)
        if not single:
            places = ["standard output" if table == "-" else table]
            places += [f"maps in {target}"] * bool(target)
            console.note(f"{captioned} of {len(sources)} photos captioned; written to {', '.join(places)}")
    return 0


def leave_out_described(sources, pictures, arguments):
    """Leave out the photos that already have an alternative text, and tell the user their number.

    With --json, --csv or --attention_map, no photo is left out, because those files should show every photo.

    Args:
        sources: the photos, a list of Source (utils.data.photo_sources).
        pictures: a list with the path of each photo's attention map. The paths are None if no maps were requested.
        arguments: the command line, an argparse.Namespace.

    Returns:
        Two lists: the photos that are kept, and the paths of their attention maps.
    """
    from utils.outputs.alt_text import find_described

    described = find_described(sources, arguments.alt_text)
    if not described:
        return sources, pictures
    have = f"{len(described)} of {len(sources)} photos already have an alternative text"
    if arguments.json or arguments.csv or arguments.attention_map:
        console.warn(f"{have}, which is kept; --overwrite replaces it")
        return sources, pictures
    console.warn(f"{have} and are not captioned again; --overwrite replaces it")
    kept = [pair for pair in zip(sources, pictures) if pair[0].path not in described]
    return [source for source, _ in kept], [picture for _, picture in kept]


def write_captions(sources, single, pictures, stream, arguments):
    """Caption photos. The results of a photo are written before the next photo is captioned.

    Args:
        sources: the photos, a list of Source (utils.data.photo_sources).
        single: True if the command line names one photo.
        pictures: a list with the path of each photo's attention map. The paths are None if no maps were requested.
        stream: the text stream for the captions.
        arguments: the command line, an argparse.Namespace.

    Returns:
        The number of photos that were captioned.
    """
    from utils.captioner import Captioner
    from utils.errors import ImageError, InputError
    from utils.model.caption import empty_note
    from utils.model.confidence import UNSURE
    from utils.outputs.alt_text import write_alt_text
    from utils.outputs.caption_files import table_writer

    form = "csv" if arguments.csv else "json" if arguments.json else "texts" if single else "lines"
    header = not arguments.shard or arguments.shard[0] == 1
    write = table_writer(form, stream, header, with_scores=arguments.num_captions > 1)
    count, least = Counter(), arguments.min_confidence
    # The progress bar of a single photo is for terminals only, not for logs.
    quiet = single and not sys.stderr.isatty()
    with console.progress(total=len(sources), unit="photo", disable=quiet, leave=not single) as bar:
        captioner = Captioner.from_folder(arguments.model, arguments.encoder_weights)
        bar.unpause()  # so that the rate does not include loading the model
        results = captioner.caption_each(
            sources, arguments.beam_size, arguments.num_captions, arguments.temperature, arguments.seed
        )
        for (source, captions), picture in zip(results, pictures):
            bar.update()
            if isinstance(captions, ImageError):
                (console.fail if single else console.warn)(captions)
                continue
            sure = 1.0 if captions[0].confidence is None else captions[0].confidence
            count["captioned"] += 1
            count["empty"] += not captions[0].words
            withheld = arguments.alt_text and sure < (least if least is not None else UNSURE)
            if withheld:
                console.warn(f"{source.name}: alternative text not written, because the confidence is {sure:.2f}")
            captions = [each for each in captions if each.confidence is None or each.confidence >= (least or 0)]
            if not captions:
                count["unsure"] += 1
                continue
            with bar.external_write_mode(stream):  # captions and progress bar may share a terminal
                write(source.name, captions)
                stream.flush()
            if picture:
                from utils.outputs.plots import attention_figure, save_figure  # a slow import that is rarely needed

                save_figure(attention_figure(captions), picture)
            if single and sure < UNSURE:
                console.note(f"unsure: the caption is right in its main point with a probability of {sure:.2f}")
            if withheld:
                count["no text"] += 1
            elif arguments.alt_text and captions[0].words:
                count["no confidence"] += captions[0].confidence is None
                try:
                    count[write_alt_text(source.path, captions[0].text, arguments.alt_text, arguments.overwrite)] += 1
                except InputError as error:
                    console.warn(error)
    if count["unsure"]:
        console.warn(f"{count['unsure']} photos left out: the confidence of their captions is below {least}")
    if count["no text"]:
        console.warn(
            f"alternative texts not written, because the confidence is below {UNSURE}: {count['no text']}; "
            "--min_confidence 0 writes all"
        )
    if count["no confidence"]:
        console.warn(f"captions by {arguments.model} have no confidence, so wrong alternative texts are not left out")
    if count[False]:
        console.warn(f"photos that keep their alternative text: {count[False]}; --overwrite replaces it")
    if count["empty"]:
        console.warn(empty_note(count["empty"], count["captioned"]))
    if not count["captioned"] and not arguments.shard:  # a part may have no photos
        console.fail("no photo could be read")
    if count["captioned"] < len(sources):
        console.warn(f"{len(sources) - count['captioned']} of {len(sources)} photos could not be read")
    return count["captioned"]


if __name__ == "__main__":
    console.run(main)
