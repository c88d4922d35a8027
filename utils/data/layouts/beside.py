"""Captions in text files beside the photos: `dog.txt` or `dog.jpg.txt` beside `dog.jpg`, a caption a line."""

from pathlib import Path

from utils.data.layouts.captions import Captions, split_of_word
from utils.data.layouts.text import caption_text, lines
from utils.errors import InputError


def read(folder):
    """Read the captions that lie beside the photos of a Folder.

    Returns:
        Captions, without images if there are no such files. Photos below a folder
        that is named after a split, such as `val/`, are in that split.

    Raises:
        InputError: a file cannot be read; it is named with its line.
    """
    captions, root = Captions(), folder.root.as_posix().rstrip("/") + "/"
    beside = {}
    for photo in folder.photos():
        # A photo's whole name comes first: `dog.jpg.txt` is not of `dog.jpg.png`.
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
        captions.notes.append(f"{shared} text files lie beside several photos of their name, and are left out")
    return captions


def _read_file(captions, path, name):
    texts = []
    for number, line in lines(path):

        def wrong(message, number=number):
            return InputError(f"{path}, line {number}: {message}")

        texts.append(caption_text(line, wrong))
    for text in list(filter(None, texts)) or [""]:
        captions.add(name, text)
    captions.image(name).split = split_of_word(name.split("/")[0]) if "/" in name else None
