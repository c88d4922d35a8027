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

# Maximum length of the longer side of a photo on the page, in pixels: if there is one photo, and if there are several.
_LARGE, _SMALL = 900, 480

# Gradio deletes uploaded photos: every 600 seconds it deletes those that are older than 3600 seconds.
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
    """Parse command-line arguments, a list of str; None for those of this process. Returns an argparse.Namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("models/flickr8k"),
        help="model folder; the page also offers the models beside it (default: models/flickr8k)",
    )
    parser.add_argument("--encoder_weights", help="file of the encoder's weights (default: where training found them)")
    parser.add_argument(
        "--beam_size", type=console.number(int, 1, 10), default=5, help="hypotheses kept in beam search (default: 5)"
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
    """Find the models that the page offers: the given model, and all other models in the same parent folder.

    Args:
        folder: a model folder, a Path.

    Returns:
        A dict from the name of each model to its folder. The given model is the first one.
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
    """Create the example photos of the page.

    Models trained on the dataset `shapes` get generated pictures of coloured shapes. Other models get a public-domain
    portrait.

    Args:
        models: the paths of the model folders on the page.
        folder: an empty folder for the photos. The portrait is copied into it, because Gradio does not serve files of
            installed packages.

    Returns:
        A list of the paths of the photos.
    """
    from utils.data.photo_files import sample_photo
    from utils.data.shapes import draw_scenes
    from utils.model.model_folder import read_config

    known = [read_config(model)["dataset"] for model in models]
    if any(name != "shapes" for name in known):
        shutil.copy(sample_photo(), folder)
    if "shapes" in known:
        draw_scenes(folder, 0, {"test": 4})
    return sorted(path for path in Path(folder).iterdir() if path.suffix in (".jpg", ".png"))


class Captions:
    """Writes the captions that the page shows and that programs receive.

    Args:
        load: a function that takes the name of a model and returns its Captioner.
    """

    def __init__(self, load):
        self._load, self._reported = load, set()

    def of(self, paths, model, beam_size, num_captions):
        """Write captions of photos.

        Args:
            paths: a list of the paths of the photos.
            model: the name of the model.
            beam_size: the number of hypotheses that beam search keeps, an int.
            num_captions: the maximum number of captions of each photo, an int. Exception: with 1, up to two
                alternatives follow a caption of which the model is unsure.

        Yields:
            A pair (path, captions) for each photo. `captions` is a list of `Caption` objects, best first. If the photo
            cannot be captioned, `captions` is an error message, a str.
        """
        from utils.errors import InputError
        from utils.model.caption import empty_note
        from utils.model.confidence import is_unsure

        try:
            captioner = self._load(model)
            for path, found in captioner.caption_each(paths, beam_size, num_captions):
                if isinstance(found, InputError):
                    # The message must not show the folder in which Gradio stores uploaded photos.
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

    def record(self, path, model, beam_size=5, num_captions=1):
        """Write captions of one photo for a program that calls the page's address.

        Args:
            path: the file of the photo.
            model: the name of the model.
            beam_size: the number of hypotheses that beam search keeps.
            num_captions: the maximum number of captions.

        Returns:
            A dict for JSON: `caption` is the text of the best caption. `words`, `log_probability`, `score` and, if
            known, `confidence` belong to this caption. `captions` is a list of dicts for all captions, best first. If
            the photo cannot be captioned, an error message, a string.
        """
        from utils.outputs.caption_files import caption_record

        ((_, found),) = self.of([path], model, int(beam_size), int(num_captions))
        if isinstance(found, str):
            return found
        best = {"caption": found[0].text, "words": list(found[0].words), **caption_record(found[0])}
        del best["text"]
        return best | {"captions": [caption_record(caption) for caption in found]}


def card(path, found, size, with_name=False):
    """Make the HTML that shows a photo with its captions and their attention, or an error message.

    Args:
        path: the file of the photo.
        found: a list of `Caption` objects for the photo, or an error message, a string.
        size: maximum length of the longer side of the photo, in pixels.
        with_name: True to show the name of the file.

    Returns:
        HTML, a string.
    """
    from utils.data.images import open_photo
    from utils.outputs.attention_html import attention_html

    if isinstance(found, str):
        return f'<p class="problem" role="alert">{html.escape(found)}</p>'
    photo = open_photo(path)
    photo.thumbnail((size, size))
    name = f'<p class="name">{html.escape(Path(path).name)}</p>' if with_name else ""
    return name + attention_html(found[0], photo, found[1:])


def download(data, form, name, text):
    """Make the HTML of a link with which a visitor downloads a file. The link itself contains the file.

    Args:
        data: content of the file, bytes.
        form: media type of the file, such as "text/csv".
        name: name of the file.
        text: text of the link.

    Returns:
        HTML, a string.
    """
    data = base64.b64encode(data).decode()
    return f'<p><a download="{html.escape(name)}" href="data:{form};base64,{data}">{text}</a></p>'


def table_link(results):
    """Make the HTML of a link with which a visitor downloads a CSV table of captions.

    Args:
        results: a list of pairs (path of a photo, captions). `captions` is a list of `Caption` objects, or an error
            message.

    Returns:
        HTML, a string.
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
    """Make the HTML of a link with which a visitor downloads a picture with the attention of each word.

    Args:
        path: the file of the photo.
        captions: a list of `Caption` objects for the photo.

    Returns:
        HTML, a string.
    """
    from utils.outputs.plots import attention_figure

    stream = io.BytesIO()
    attention_figure(captions).savefig(stream, format="png", dpi=110)
    return download(stream.getvalue(), "image/png", f"{Path(path).stem}-attention.png", "Download the maps (PNG)")


def make_page(load, models=("model",), beam_size=5, examples=()):
    """Build the web page with Gradio.

    Args:
        load: a function that takes the name of a model and returns its Captioner.
        models: a list or tuple of the names of the models. The page starts with the first one.
        beam_size: the beam size with which the page starts.
        examples: a list of the paths of example photos.

    Returns:
        The page, a gradio.Blocks.
    """
    import gradio

    captions = Captions(load)

    def show(paths, model, beam_size, num_captions):
        """Caption the visitor's photos, and yield several times what the page shows.

        The first yields say how many photos are done.

        Args:
            paths: a list of the paths of the photos, or None.
            model: the name of the model.
            beam_size, num_captions: the values of two sliders, numbers.

        Yields:
            (result, text, link): HTML of the progress or of the captions; the box with the alternative text of a single
            photo, hidden for several photos; HTML of the link to the attention maps of a single photo, else "". Drawing
            the maps takes a second, so the link comes with the last yield.
        """
        text = gradio.Textbox(visible=False)
        if not paths:
            yield "", text, ""
            return
        results, total = [], min(len(paths), _MOST)
        busy = '<p role="status">Writing captions: {} of {} photos done …</p>'
        yield busy.format(0, total), text, ""
        for result in captions.of(paths[:_MOST], model, int(beam_size), int(num_captions)):
            results.append(result)
            if len(results) < total:
                yield busy.format(len(results), total), gradio.skip(), gradio.skip()
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
        """Caption one photo. Programs call this function through the API of the page.

        Args:
            photo: path of the photo's file on the server, a str.
            model: name of the model, one of those that the page offers.
            beam_size: number of hypotheses that beam search keeps.
            num_captions: maximum number of captions.

        Returns:
            A dict: `caption` is the text of the first caption. `words`, `log_probability`, `score` (the number that
            ranks the captions) and, if it is known, `confidence` belong to this caption. `captions` is a list of dicts
            for all captions.
        """
        record = captions.record(photo, model, beam_size, num_captions)
        if isinstance(record, str):
            raise gradio.Error(record, print_exception=False)
        return record

    with gradio.Blocks(title="What is in the photo?", analytics_enabled=False, delete_cache=_DELETE) as page:
        gradio.Markdown(
            "# What is in the photo?\nDrop or choose photos. Point at a word, or tap it, to see where the model looked."
        )
        # gradio.File keeps the photo as it is. A gradio.Image would change the pixels of some photos, and could not
        # report why it cannot read others.
        photos = gradio.File(file_count="multiple", label="Photos", height=120)
        with gradio.Accordion("Settings", open=False):
            model = gradio.Dropdown(list(models), value=models[0], label="Model", visible=len(models) > 1)
            beam = gradio.Slider(1, 10, beam_size, step=1, label="Beam size", info="larger is slower and more accurate")
            count = gradio.Slider(1, 5, 1, step=1, label="Captions per photo")
        answer = gradio.HTML(padding=False)
        text = gradio.Textbox(label="Alternative text", buttons=["copy"], interactive=True, visible=False)
        links = gradio.HTML(padding=False)
        if examples:
            tries = gradio.Dataset(
                label="Try one", components=[gradio.Image(visible=False)], samples=[[str(each)] for each in examples],
                type="index",
            )  # fmt: skip
            tries.click(lambda index: [str(examples[index])], tries, photos, api_visibility="private")
        gradio.Markdown(
            "The caption is a guess by a small model. Do not rely on it, and do not use it to judge people. "
            "Photos stay on the machine that runs this page and are deleted after an hour."
        )
        settings = [photos, model, beam, count]
        gradio.on(
            [each.change for each in settings], show, settings, [answer, text, links], show_progress="minimal",
            show_progress_on=[answer], trigger_mode="always_last", concurrency_id="model", api_visibility="private",
        )  # fmt: skip
        # This button is never shown. It gives programs the address /caption.
        photo, given = gradio.File(visible=False), gradio.JSON(visible=False)
        gradio.Button(visible=False).click(
            describe, [photo, model, beam, count], given, api_name="caption", concurrency_id="model"
        )
    return page


def serve(page, **options):
    """Start a web server for the page.

    Args:
        page: the page, a gradio.Blocks.
        options: arguments of the method `gradio.Blocks.launch`.

    Returns:
        A tuple: the server's app, the local address, and the public address or None.
    """
    import gradio

    # The page uses system fonts, because Gradio's default theme fetches fonts from the internet.
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
