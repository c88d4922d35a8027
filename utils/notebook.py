"""Support the notebooks: describe the machine, resume training, show progress, photos and captions, take uploads."""

import base64
import html
import io
import itertools
import os
import shutil
import sys
from pathlib import Path

import keras
from IPython import get_ipython
from IPython.display import HTML, Image, display

from utils.captioner import Captioner
from utils.data.images import open_photo
from utils.data.photo_files import sample_photo
from utils.data.photo_sources import find_sources
from utils.errors import InputError
from utils.runtime import backend
from utils.training.run_folder import RUN_FILE

# Longer side of thumbnails in pixels.
_THUMBNAIL = 160


def describe_runtime():
    """Return one line that names library versions, processors and GPUs. Without a GPU, it says how to get one."""
    framework, gpus = backend.describe()
    device = ", ".join(gpus) or "no GPU: training on photos takes hours (in Colab: Runtime, Change runtime type)"
    return f"{framework}, Keras {keras.__version__}, {os.cpu_count()} processors, {device}"


def tell_errors_in_a_line():
    """From now on, show each InputError in a notebook as one line `error: …`, without a traceback."""

    def tell(shell, kind, error, trace, tb_offset=None):
        print(f"error: {error}", file=sys.stderr)

    get_ipython().set_custom_exc((InputError,), tell)


def is_trained(output_dir):
    """Return True if a folder has a finished model, so that the notebook can skip the training.

    `output_dir` is the model folder, a str or Path.
    """
    return (Path(output_dir) / "config.json").exists() and not (Path(output_dir) / RUN_FILE).exists()


def resume_flags(output_dir):
    """Return the flags with which train.py continues an interrupted run: ["--resume"], or [] if there is no such run.

    `output_dir` is the model folder of the run, a str or Path.
    """
    return ["--resume"] if (Path(output_dir) / RUN_FILE).exists() else []


class LiveView(keras.callbacks.Callback):
    """A Keras callback that shows the training curves and the captions of some photos after every epoch.

    Args:
        output_dir: model folder of the run, a str or Path.
        find_photos: a function without arguments that returns the paths of the photos to caption. It is called once,
            after the first model is written.
    """

    def __init__(self, output_dir, find_photos):
        super().__init__()
        self.folder, self.find_photos = Path(output_dir), find_photos
        self.rows, self.seen, self.view = {}, None, None

    def on_epoch_end(self, epoch, logs=None):
        weights = self.folder / "decoder.weights.h5"
        if weights.exists() and weights.stat().st_mtime_ns != self.seen:
            self.seen = weights.stat().st_mtime_ns
            self.rows = self.rows or {path: [] for path in self.find_photos()}
            for caption in Captioner.from_folder(self.folder).caption(self.rows):
                text = html.escape(caption.text)
                if not self.rows[caption.path] or not self.rows[caption.path][-1].endswith(f": {text}"):
                    self.rows[caption.path].append(f"epoch {epoch + 1}: {text}")
        page = HTML(self._page())
        if self.view is None:
            self.view = display(page, display_id=True)
        else:
            self.view.update(page)

    def _page(self):
        curves = base64.b64encode((self.folder / "training.png").read_bytes()).decode()
        rows = [
            f'<tr><td><img src="{_thumbnail(path)}"></td><td style="text-align:left">{"<br>".join(captions)}</td></tr>'
            for path, captions in self.rows.items()
        ]
        return f'<img src="data:image/png;base64,{curves}"><table>{"".join(rows)}</table>'


def _thumbnail(path):
    photo, buffer = open_photo(path), io.BytesIO()
    photo.thumbnail((_THUMBNAIL, _THUMBNAIL))
    photo.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def show_figure(figure):
    """Show a matplotlib Figure below the cell."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=75)
    display(Image(buffer.getvalue()))


def show_captions(captions, references=()):
    """Show photos and their captions as a table below the cell.

    Args:
        captions: a list of Caption, one per photo.
        references: a list that has, for each photo, a list of captions by people; empty to show none.
    """
    rows = []
    for caption, people in itertools.zip_longest(captions, references, fillvalue=()):
        quoted = "".join(f"<br><small>{html.escape(text)}</small>" for text in people[:3])
        rows.append(
            f'<tr><td><img alt="" src="{_thumbnail(caption.path)}"></td>'
            f'<td style="text-align:left"><b>{html.escape(caption.text)}</b>{quoted}</td></tr>'
        )
    display(HTML(f"<table>{''.join(rows)}</table>"))


def choose_photo(name, folder):
    """Choose the photo of a notebook.

    It is the photo that `name` names. If `name` is "", Colab asks the user to upload a photo. Outside Colab, or if
    nothing is uploaded, it is the sample photo.

    Args:
        name: the path or web address of a photo, or "".
        folder: the folder to which an uploaded, downloaded or sample photo is written.

    Returns:
        A Source: the name and the path of the photo.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    if not name:
        try:
            from google.colab import files
        except ImportError:
            pass
        else:
            for uploaded in list(files.upload())[:1]:
                name = shutil.move(uploaded, Path(folder) / Path(uploaded).name)
    return find_sources([str(name or shutil.copy(sample_photo(), folder))], folder, io.BytesIO())[0]


def show_page(path, height=700):
    """Show an HTML file in a frame below the cell of the notebook. The file must need no other files.

    Args:
        path: the HTML file.
        height: height of the frame in pixels.
    """
    page = html.escape(Path(path).read_text(encoding="utf-8"))
    frame = f'<iframe srcdoc="{page}" width="100%" height="{height}" style="border: 0"></iframe>'
    display({"text/html": frame}, raw=True)  # not HTML(), which would recommend IFrame, which cannot show a file's text
