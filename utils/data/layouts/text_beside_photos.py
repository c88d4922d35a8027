"""Read captions from text files in the same folders as the photos.

The captions of `dog.jpg` are in `dog.txt` or `dog.jpg.txt` in the same folder, one per line. Upper and lower case may
differ if that fits only one photo.
"""

from pathlib import Path

from utils.data.layouts.captions import Captions, split_of_word
from utils.data.layouts.near_names import folded
from utils.data.layouts.text import caption_text, lines
from utils.errors import InputError


def read(folder):
    """Read the captions of all photos that have a text file of the same name.

    If the dataset's folder has a folder `val/`, all photos in it belong to the split "val". The same is true of the
    other splits.

    Args:
        folder: a Folder, the list of the dataset's files.

    Returns:
        A `Captions` object. It has no images if there are no such text files.

    Raises:
        InputError: a text file cannot be read; the message has the file and the line.
    """
    captions, root = Captions(), folder.root.as_posix().rstrip("/") + "/"
    beside, near = {}, {}
    for photo in folder.photos():
        for name in (photo + ".txt", photo.rpartition(".")[0] + ".txt"):
            beside.setdefault(name, []).append(photo)
            near.setdefault(folded(name), []).append(photo)
    shared = 0
    for path in folder.find("*.txt", any_case=True):
        photos = beside.get(path.as_posix()) or near.get(folded(path.as_posix()), ())
        shared += len(photos) > 1
        if len(photos) == 1:
            captions.files.append(path)
            _read_file(captions, path, Path(photos[0]).as_posix().removeprefix(root))
    if shared:
        captions.notes.append(f"{shared} text files are skipped: each fits several photos of the same name")
    return captions


def _read_file(captions, path, name):
    """Read the text file of one photo and add its captions.

    Args:
        captions: a `Captions` object, which stores the content of caption files. The captions are added to it.
        path: the text file, a Path.
        name: the path of the photo, relative to the dataset's folder, a str.
    """
    texts = []
    for number, line in lines(path):

        def wrong(message, number=number):
            return InputError(f"{path}, line {number}: {message}")

        texts.append(caption_text(line, wrong))
    for text in list(filter(None, texts)) or [""]:
        captions.add(name, text)
    captions.image(name).split = split_of_word(name.split("/")[0]) if "/" in name else None
