"""Reading captions from text files beside the photos.

The captions of `dog.jpg` are in `dog.txt` or `dog.jpg.txt` in the same folder, one per line.
"""

from pathlib import Path

from utils.data.layouts.captions import Captions, split_of_word
from utils.data.layouts.text import caption_text, lines
from utils.errors import InputError


def read(folder):
    """Read the captions beside the photos of a Folder.

    Returns:
        Captions; without images if there are no such text files. Photos in a
        top folder named after a split, such as `val/`, belong to that split.

    Raises:
        InputError: a file cannot be read; the message has file and line.
    """
    captions, root = Captions(), folder.root.as_posix().rstrip("/") + "/"
    beside = {}
    for photo in folder.photos():
        # The name with suffix has priority: `dog.jpg.txt` belongs to `dog.jpg`, not to `dog.jpg.png`.
        beside.setdefault(photo + ".txt", []).append(photo)
        beside.setdefault(photo.rpartition(".")[0] + ".txt", []).append(photo)
    shared = 0
    for path in folder.find("*.txt"):
        photos = beside.get(path.as_posix(), ())
        shared += len(photos) > 1
        if len(photos) == 1:
            captions.files.append(path)
            _read_file(captions, path, Path(photos[0]).as_posix().removeprefix(root))
    if shared:
        captions.notes.append(f"{shared} text files are skipped: each fits several photos of the same name")
    return captions


def _read_file(captions, path, name):
    """Add the text file of the photo `name` to Captions."""
    texts = []
    for number, line in lines(path):

        def wrong(message, number=number):
            return InputError(f"{path}, line {number}: {message}")

        texts.append(caption_text(line, wrong))
    for text in list(filter(None, texts)) or [""]:
        captions.add(name, text)
    captions.image(name).split = split_of_word(name.split("/")[0]) if "/" in name else None
