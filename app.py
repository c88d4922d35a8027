"""A page that captions photos: `python app.py`, then open the address it prints."""

import base64
import html
import io
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from utils import console

DESCRIPTION = """Serve a web page on this machine that captions photos. Point at a word, or
focus it with the Tab key, to see where the model looked.

Programs can call the same address. This returns a dict:
gradio_client.Client(address).predict(
    gradio_client.handle_file("photo.jpg"), api_name="/caption")"""

# Maximum number of photos per request; inference.py has no limit.
_MOST = 100

# Maximum length of a photo's longer side in pixels: of a single photo, and of each of several photos.
_LARGE, _SMALL = 900, 480

# Uploaded photos are deleted: seconds between two checks, and age in seconds from which they are deleted.
_DELETE = (600, 3600)

_STYLE = """
.gradio-container { max-width: 60rem !important; margin: 0 auto; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.5rem; }
.cards .sentence { font-size: 1.1rem; }
.cards .photo { width: 100% !important; }
.name { margin: 0; overflow-wrap: anywhere; opacity: .7; font-size: .85rem; }
.problem { border-left: 4px solid #d97706; padding: .4em .8em; overflow-wrap: anywhere; }
"""


def parse_arguments(arguments=None):
    """Read the command line. Returns an argparse.Namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("models/flickr8k"),
        help="model folder; the page also offers the models beside it (default: models/flickr8k)",
    )
    parser.add_argument("--encoder_weights", help="file of the encoder's weights (default: where training found them)")
    parser.add_argument(
        "--beam_size", type=console.number(int, 1, 10), default=3, help="hypotheses kept in beam search (default: 3)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets other machines of the network in (default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=console.number(int, 1, 65535), default=7860, help="port (default: 7860)")
    parser.add_argument(
        "--share",
        action="store_true",
        help="create a public address through Gradio's servers; it lasts a week, and anyone can use it",
    )
    return parser.parse_args(arguments)


def find_models(folder):
    """Find the models beside a model folder.

    Args:
        folder: the model folder.

    Returns:
        A dict from name to folder that begins with the given one.
    """
    from utils.errors import InputError
    from utils.model.model_folder import read_config

    models = {folder.name: folder}
    for path in sorted(folder.resolve().parent.glob("*/config.json")):
        try:
            read_config(path.parent)
        except InputError:
            continue
        models.setdefault(path.parent.name, path.parent)
    return models


def find_examples(models, folder):
    """Create example photos: drawn scenes for models trained on `shapes`, a public-domain portrait for others.

    Args:
        models: model folders.
        folder: the folder for the photos. Gradio does not serve files of installed packages, so they are copied.

    Returns:
        The paths of the photos, a list.
    """
    from utils.data.images import sample_photo
    from utils.data.shapes import draw_scenes
    from utils.model.model_folder import read_config

    known = [read_config(model)["dataset"] for model in models]
    if any(name != "shapes" for name in known):
        shutil.copy(sample_photo(), folder)
    if "shapes" in known:
        draw_scenes(folder, 0, {"test": 4})
    return sorted(path for path in Path(folder).iterdir() if path.suffix in (".jpg", ".png"))


class Captions:
    """The captions that the page and its interface for programs show.

    Args:
        load: a function from a model's name to its Captioner.
    """

    def __init__(self, load):
        self._load, self._reported = load, set()

    def of(self, paths, model, beam_size, num_captions):
        """Caption photos.

        If one caption is asked for and the model is unsure of it, up to two alternatives follow it.

        Args:
            paths: the photos' files.
            model: the model's name.
            beam_size, num_captions: as for `Captioner.caption_each`.

        Yields:
            (path, captions) of each photo. `captions` is a list of Captions, or a sentence that says why there is none.
        """
        from utils.errors import InputError
        from utils.model.caption import empty_note
        from utils.outputs.attention_html import is_unsure

        try:
            captioner = self._load(model)
            for path, found in captioner.caption_each(paths, beam_size, num_captions):
                if isinstance(found, InputError):
                    # Do not show the folder of uploads.
                    yield path, str(found).replace(str(path), Path(path).name)
                    continue
                if not found[0].words:
                    note = f"{model}: {empty_note(1, 1)}"
                    if model not in self._reported:
                        self._reported.add(model)
                        console.warn(note)
                    yield path, note
                    continue
                if num_captions == 1 and is_unsure(found[0]):
                    _, several = next(captioner.caption_each([path], beam_size, 3))
                    found += [caption for caption in several if caption.text != found[0].text][:2]
                yield path, found
        except InputError as error:  # a model that cannot be loaded
            yield from ((path, str(error)) for path in paths)

    def record(self, path, model, beam_size=3, num_captions=1):
        """The captions of one photo as a dict for JSON, or a sentence that says why there are none.

        Args:
            path: the photo's file.
            model, beam_size, num_captions: as for `of`.
        """
        from utils.outputs.caption_files import caption_record

        ((_, found),) = self.of([path], model, int(beam_size), int(num_captions))
        if isinstance(found, str):
            return found
        best = {"caption": found[0].text, "words": list(found[0].words), **caption_record(found[0])}
        del best["text"]
        return best | {"captions": [caption_record(caption) for caption in found]}


def card(path, found, size, with_name=False):
    """The HTML of one photo with its captions, or of an error message.

    Args:
        path: the photo's file.
        found: a list of Captions, or a sentence that says why there is none.
        size: maximum length of the photo's longer side, in pixels.
        with_name: whether to show the file's name.
    """
    from utils.data.images import open_photo
    from utils.outputs.attention_html import attention_html

    if isinstance(found, str):
        return f'<p class="problem" role="alert">{html.escape(found)}</p>'
    photo = open_photo(path)
    photo.thumbnail((size, size))
    name = f'<p class="name">{html.escape(Path(path).name)}</p>' if with_name else ""
    return attention_html(found[0], photo, found[1:]) + name


def download(data, form, name, text):
    """The HTML of a download link whose file is part of the page.

    Args:
        data: content of the file, bytes.
        form: media type of the file.
        name: name of the file.
        text: text of the link.
    """
    data = base64.b64encode(data).decode()
    return f'<p><a download="{html.escape(name)}" href="data:{form};base64,{data}">{text}</a></p>'


def table_link(results):
    """The HTML of a download link to a CSV table.

    Args:
        results: (path, captions) of each photo, as `Captions.of` yields them.
    """
    from utils.outputs.caption_files import table_writer

    stream = io.StringIO()
    write = table_writer("csv", stream)
    for path, found in results:
        if not isinstance(found, str):
            write(Path(path).name, found)
    # The byte order mark lets Excel recognise UTF-8.
    return download(stream.getvalue().encode("utf-8-sig"), "text/csv", "captions.csv", "Download all captions (CSV)")


def map_link(path, captions):
    """The HTML of a download link to a picture of each word's attention.

    Args:
        path: the photo's file.
        captions: a list of Captions of the photo.
    """
    from utils.outputs.plots import attention_figure

    stream = io.BytesIO()
    attention_figure(captions).savefig(stream, format="png", dpi=110)
    return download(stream.getvalue(), "image/png", f"{Path(path).stem}-attention.png", "Download the maps (PNG)")


def make_page(load, models=("model",), beam_size=3, examples=()):
    """Build the page.

    Args:
        load: a function from a model's name to its Captioner.
        models: the models' names; the page starts with the first one.
        beam_size: initial beam size.
        examples: paths of example photos.

    Returns:
        A gradio.Blocks.
    """
    import gradio

    captions = Captions(load)

    def show(paths, model, beam_size, num_captions, progress=gradio.Progress()):  # noqa: B008, Gradio's way
        """Yield the HTML of the result, the alternative text and the link to the maps, which takes a second."""
        text = gradio.Textbox(visible=False)
        if not paths:
            yield "", text, ""
            return
        results = []
        for result in captions.of(paths[:_MOST], model, int(beam_size), int(num_captions)):
            results.append(result)
            if len(paths) > 1:
                progress((len(results), min(len(paths), _MOST)), unit="photos")
        if len(paths) == 1:
            path, found = results[0]
            if isinstance(found, str):
                yield card(path, found, _LARGE), text, ""
                return
            text = gradio.Textbox(found[0].text, visible=True)
            yield card(path, found, _LARGE), text, ""
            yield gradio.skip(), gradio.skip(), map_link(path, found)
            return
        parts = [table_link(results)]
        if len(paths) > _MOST:
            parts.append(card(None, f"Only the first {_MOST} of {len(paths)} photos. inference.py has no limit.", 0))
        cards = "".join(f"<div>{card(path, found, _SMALL, with_name=True)}</div>" for path, found in results)
        yield "".join([*parts, f'<div class="cards">{cards}</div>']), text, ""

    def describe(photo, model=models[0], beam_size=beam_size, num_captions=1):
        """Caption one photo. Keys: caption, words, log_probability, score, captions, and confidence if it is known."""
        record = captions.record(photo, model, beam_size, num_captions)
        if isinstance(record, str):
            raise gradio.Error(record, print_exception=False)
        return record

    with gradio.Blocks(title="What is in the photo?", analytics_enabled=False, delete_cache=_DELETE) as page:
        gradio.Markdown(
            "# What is in the photo?\nDrop or choose photos. Point at a word to see where the model looked."
        )
        # Not a gradio.Image, which changes the pixels of some photos and cannot report why it does not read others.
        photos = gradio.File(file_count="multiple", label="Photos", height=120)
        answer = gradio.HTML(padding=False)
        text = gradio.Textbox(label="Alternative text", buttons=["copy"], interactive=True, visible=False)
        links = gradio.HTML(padding=False)
        if examples:
            tries = gradio.Dataset(
                label="Try one", components=[gradio.Image(visible=False)], samples=[[str(each)] for each in examples],
                type="index",
            )  # fmt: skip
            tries.click(lambda index: [str(examples[index])], tries, photos, api_visibility="private")
        with gradio.Accordion("Settings", open=False):
            model = gradio.Dropdown(list(models), value=models[0], label="Model", visible=len(models) > 1)
            beam = gradio.Slider(1, 10, beam_size, step=1, label="Beam size", info="larger is slower and more accurate")
            count = gradio.Slider(1, 5, 1, step=1, label="Captions per photo")
        gradio.Markdown(
            "The caption is a guess by a small model. Do not rely on it, and do not use it to judge people. "
            "Photos stay on the machine that runs this page and are deleted after an hour."
        )
        settings = [photos, model, beam, count]
        gradio.on(
            [each.change for each in settings], show, settings, [answer, text, links], show_progress="minimal",
            show_progress_on=[answer], trigger_mode="always_last", concurrency_id="model", api_visibility="private",
        )  # fmt: skip
        # The interface for programs.
        photo, given = gradio.File(visible=False), gradio.JSON(visible=False)
        gradio.Button(visible=False).click(
            describe, [photo, model, beam, count], given, api_name="caption", concurrency_id="model"
        )
    return page


def serve(page, **options):
    """Launch the page.

    Args:
        page: a gradio.Blocks.
        options: arguments of `gradio.Blocks.launch`.

    Returns:
        The result of `launch`: the app, the local address and the public address.
    """
    import gradio

    # System fonts, because Gradio's default theme fetches fonts from the internet.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return page.launch(theme=theme, css=_STYLE, **options)


def main():
    """Run the script: load the model and serve the page until Ctrl-C. Returns the exit status, 0."""
    arguments = parse_arguments()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from utils.model.model_folder import read_config

    read_config(arguments.model)
    models = find_models(arguments.model)
    try:
        import gradio  # noqa: F401
    except ImportError:
        console.fail("app.py needs Gradio, which is not installed: pip install -r requirements-app.txt")
    console.import_keras()
    from utils.captioner import Captioner

    @cache
    def load(name):
        return Captioner.from_folder(models[name], arguments.encoder_weights if name == first else None)

    first = next(iter(models))
    load(first)
    with tempfile.TemporaryDirectory() as folder:
        examples = find_examples(models.values(), folder)
        page = make_page(load, list(models), arguments.beam_size, examples)
        try:
            place = {"server_name": arguments.host, "server_port": arguments.port, "share": arguments.share}
            _, address, public = serve(page, prevent_thread_lock=True, quiet=True, **place)
        except OSError as error:
            console.fail(
                f"cannot listen on {arguments.host}, port {arguments.port}: {error}; choose another --host or --port"
            )
        console.say(f"open {address} (Ctrl-C ends it)")
        if arguments.share and not public:
            console.warn("Gradio's servers gave no public address; the page is available on this machine only")
        page.block_thread()
    return 0


if __name__ == "__main__":
    console.run(main)
