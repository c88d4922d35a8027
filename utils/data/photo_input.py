"""Photos as Python callers pass them: paths, PIL images and arrays."""

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
    """A photo as `utils.features.cache.encode_files` takes it. `path` may also be an image."""

    path: Any


def is_in_memory(photo):
    """Whether a photo is a PIL image or an array, not a file."""
    return isinstance(photo, (Image.Image, np.ndarray))


def is_one_photo(photos):
    """Whether the argument is one photo. Lists, iterators and arrays with four axes are several photos."""
    if isinstance(photos, np.ndarray):
        return photos.ndim < 4 and photos.dtype.kind in "uifb"
    return isinstance(photos, str) or not isinstance(photos, Iterable)


def as_item(photo):
    """A photo as an object with an attribute `path`.

    Args:
        photo: a PhotoInput, or an object that already has a `path`.

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
    """The file of a photo as a Path; None for an image or array without a file."""
    if is_in_memory(photo):
        photo = getattr(photo, "filename", None)
    return Path(photo) if photo else None
