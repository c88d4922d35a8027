"""Accept photos in the forms that a Python program passes: paths, PIL images and arrays."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.errors import InputError

# One photo: a path, a PIL image, or a uint8 array (height, width, 3).
PhotoInput = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True)
class _Item:
    """Give a photo the attribute `path`, which `utils.features.cache.encode_files` reads.

    Args:
        path: a Path, a PIL image or an array.
    """

    path: Any


def is_in_memory(photo):
    """Return True if a photo is a PIL image or an array, and False if it is a file."""
    return isinstance(photo, (Image.Image, np.ndarray))


def is_one_photo(photos):
    """Return True if `photos` is a single photo. A list, an iterator or an array with four axes is several photos."""
    if isinstance(photos, np.ndarray):
        return photos.ndim < 4 and photos.dtype.kind in "uifb"
    return isinstance(photos, str) or not isinstance(photos, Iterable)


def as_item(photo):
    """Convert a photo to an object with the attribute `path`, which the functions that encode photos read.

    Args:
        photo: a path, a PIL image, an array, or an object that already has the attribute `path`.

    Returns:
        An object whose `path` is a Path, a PIL image or an array. An object that had a `path` is returned unchanged.

    Raises:
        InputError: the argument is not a photo.
    """
    if isinstance(photo, (str, Path)):
        return _Item(Path(photo))
    if is_in_memory(photo):
        return _Item(photo)
    # `hasattr` would evaluate the property `path`, which may download the photo.
    if inspect.getattr_static(photo, "path", None) is None:
        raise InputError(f"{type(photo).__name__}: no photo; give a path, a PIL image or a uint8 array")
    return photo


def file_of(photo):
    """Return the file of a photo as a Path, or None for an array or for a PIL image that was not read from a file."""
    if is_in_memory(photo):
        photo = getattr(photo, "filename", None)
    return Path(photo) if photo else None
