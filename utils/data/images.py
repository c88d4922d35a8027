"""Read photos from files, and convert them to arrays of pixels. Training and inference use the same functions."""

import ctypes
import io
import logging
import os
import stat
import threading
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from utils.data import image_repair
from utils.errors import ImageError, ImageWarning, InputError, one_line, reason, shorten

pillow_heif.register_heif_opener()
Image.init()

# Formats that Pillow recognises but cannot decode itself. For EPS it starts Ghostscript, which runs programs.
_NO_IMAGES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
# The formats that are tried, in this order, to recognise a file.
FORMATS = ["JPEG", "PNG", *(form for form in Image.OPEN if form not in _NO_IMAGES | {"JPEG", "PNG"})]

# The maximum number of decoded pixels. As RGB, they need 800 MB. Large JPEGs
# are decoded at a smaller size, so the limit matters only for other formats.
MAX_PIXELS = 2**28

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"  # the first bytes of such files

_ORIENTATION = 0x0112  # the EXIF tag of the orientation
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow logs some damages. Without a handler, Python would print them, without the name of the file.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Pillow's warnings about unusual metadata have several lines. Its warnings about sizes are not needed, because this
# module checks the size.
warnings.filterwarnings("ignore", module=r"PIL\.")

# libtiff prints lines of its own about damaged files. The ImageError that follows is enough: it names the file.
with suppress(AttributeError, OSError):  # this Pillow was built without libtiff, or links it in another way
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)

_limit = threading.Lock()
_readers = 0
_pillow_limit = None
_warned = set()
_names = {}


@contextmanager
def _own_limit():
    """Set Pillow's limit on the size of images to MAX_PIXELS in the `with` block.

    Pillow applies its limit also to images inside of others, for example in icons. The limit is the same for all
    threads. So the first thread that enters the block changes the limit, and the last one that leaves it restores it.
    """
    global _readers, _pillow_limit
    with _limit:
        if not _readers:
            # Pillow raises an error above twice its limit.
            _pillow_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2
        _readers += 1
    try:
        yield
    finally:
        with _limit:
            _readers -= 1
            if not _readers:
                Image.MAX_IMAGE_PIXELS = _pillow_limit


def _open(file):
    """Open an image as `Image.open` does, but a JPEG of any size. The pixels are not decoded yet.

    Pillow compares its limit with the full size of an image, although a JPEG can be decoded at an eighth of this size.

    Args:
        file: a path or a binary stream.

    Raises:
        Image.DecompressionBombError: the image has more than MAX_PIXELS and is no JPEG.
    """
    try:
        return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError:
        if not isinstance(file, Path):
            file.seek(0)
        with suppress(SyntaxError):  # not a JPEG
            return JpegImagePlugin.jpeg_factory(file)
        raise


def _to_rgb(image):
    """Convert a PIL image of any mode to RGB, and return it.

    Transparent pixels become white. Values of 16 bits and floats are scaled to 8 bits.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.array(image, dtype="float32")
        np.nan_to_num(values, copy=False)  # scientific images mark missing pixels by nan
        if image.mode == "F":
            top = 1 if values.max(initial=0) <= 1 else 255
        else:
            top = 255 if values.max(initial=0) <= 255 else 65535
        # Computed in place, because scans in floats take gigabytes.
        values = np.clip(np.multiply(values, 255 / top, out=values), 0, 255, out=values)
        return Image.fromarray(values.astype("uint8")).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _orientation(image):
    """Return the EXIF orientation of a PIL image, an int: 1 (upright) to 8, or any other int that a wrong file has.

    If the orientation is missing or cannot be read, the result is 1.
    """
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        value = value[0] if isinstance(value, (tuple, bytes)) else value
        return int(value.strip("\0 ") if isinstance(value, str) else value)
    except Exception:  # cameras and programs write many invalid values
        return 1


def _upright_rgb(image, orientation):
    """Rotate a PIL image so that it is upright, convert it to RGB, and return it.

    Args:
        image: the PIL image.
        orientation: the EXIF orientation, an int. With values other than 2 to 8, the image is not rotated.
    """
    return _to_rgb(image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image)


def _decode(file, at_least, check=lambda image: None):
    """Decode a photo to an upright RGB image.

    Args:
        file: a path or a binary stream.
        at_least: the smallest width and height in pixels that the caller needs. A JPEG may be decoded at a smaller
            scale if it stays this large.
        check: a function that is called with the decoded PIL image, before the image is rotated. It may raise an error.

    Returns:
        A PIL image; `info["mode"]` is the colour mode of the file, such as "RGB" or "L".

    Raises:
        Image.DecompressionBombError: the image has too many pixels. Pillow raises other errors for damaged images.
    """
    with _open(file) as image:
        image.draft("RGB", (at_least, at_least))
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if image.format == "TIFF":
            # Without this, Pillow reads all metadata to rotate a TIFF image, and fails if some of it is damaged.
            image.load_end = lambda: None
        orientation, mode = _orientation(image), image.mode
        image.load()
        if image.format == "TIFF":
            image._size = image.im.size
        check(image)
        image = _upright_rgb(image, orientation)
        image.info = {"mode": mode}
        return image


def _check_half_is_there(image):
    """Raise OSError if the lower half of a decoded PIL image is grey, because this half was missing in the file."""
    # libjpeg fills missing rows with grey.
    missing = (abs(np.asarray(image.convert("L"), "int16") - 128) <= 1).all(axis=1)[::-1]
    if missing[: len(missing) // 2 + 1].all():
        raise OSError("most of it is missing")


def _decode_despite(error, path, at_least):
    """Decode a photo after a first attempt failed, because metadata are damaged or the end of a JPEG is missing.

    Args:
        error: the exception of the first attempt. It is raised again if the file is neither PNG nor JPEG.
        path: the file.
        at_least: the smallest width and height in pixels that the caller needs. A JPEG may be decoded at a smaller
            scale if it stays this large.

    Returns:
        A PIL image; `info["mode"]` is the colour mode of the file, such as "RGB" or "L".
    """
    with open(path, "rb") as file:
        start = file.read(8)
        if start == _PNG:
            return _decode(io.BytesIO(image_repair.pixels_of_png(start + file.read())), at_least)
        if not start.startswith(_JPEG):
            raise error
        image = _decode(io.BytesIO(image_repair.pixels_of_jpeg(start + file.read())), at_least, _check_half_is_there)
    if "truncated" in str(error) and path not in _warned:
        _warned.add(path)
        message = f"{_shown(path)}: the end of the file is missing; the rest is used"
        warnings.warn(ImageWarning(message), stacklevel=2)
    return image


def name_photo(path, name):
    """Set the name of a photo in errors and warnings, for example the address from which it was fetched.

    Args:
        path: the file.
        name: the name to show instead of the path.
    """
    _names[Path(path)] = name


def _shown(path):
    """Return the name of the photo file `path` for errors: the one that `name_photo` has set, or the path."""
    return one_line(shorten(_names.get(path, path)))


def _check_file(path):
    """Raise ImageError if `path` is not a file with content. Pipes are refused: opening a pipe can wait forever."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("no such file") from None
    except PermissionError:
        raise ImageError("no permission to read this file; change its permissions") from None
    except (OSError, ValueError) as error:  # a link to itself, a name that is too long or has a zero byte
        raise ImageError(f"cannot be accessed ({reason(error)})") from None
    if stat.S_ISDIR(found.st_mode):
        raise ImageError("a folder, not a photo")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError("a pipe or a device, not a file; save the photo as a file, or pipe it to inference.py -")
    if not found.st_size:
        raise ImageError("the file is empty")


def open_photo(path, at_least=1024):
    """Read a photo from a file, upright and in RGB. Of an animation, the first frame is read.

    Of the metadata, only the EXIF orientation is used. Damaged metadata are
    ignored. If less than half of a JPEG is missing at its end, the rest is
    read, and an ImageWarning is issued once per file.

    Args:
        path: the file.
        at_least: a number of pixels. A JPEG with much longer sides may be decoded at a smaller size, which
            is several times faster. No side is then shorter than this number.

    Returns:
        A PIL image; `info["mode"]` is the colour mode of the file, such as "RGB" or "L".

    Raises:
        ImageError: the file is not a photo, is damaged, or has too many pixels.
    """
    path = Path(path)
    name = _shown(path)
    try:
        _check_file(path)
        with _own_limit():
            try:
                return _decode(path, at_least)
            except (FileNotFoundError, PermissionError, Image.DecompressionBombError):
                raise
            except Exception as error:
                return _decode_despite(error, path, at_least)
    except InputError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except PermissionError:
        raise ImageError(f"{name}: no permission to read this file; change its permissions") from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{name}: more than {MAX_PIXELS / 1e6:.0f} million pixels are too many to decode; make the image smaller"
        ) from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name}: not an image, or of an unknown format; JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF, BMP and others "
            "can be read"
        ) from None
    # Decoders raise many types of exceptions for damaged files: struct.error, RuntimeError, ZeroDivisionError, …
    except Exception as error:
        raise ImageError(f"{name}: damaged image ({reason(error)})") from None


def photo_size(path):
    """Return (width, height) of a photo in pixels, after its EXIF rotation. The pixels are not decoded.

    Raises:
        ImageError: the file is not a photo, or its header is damaged.
    """
    try:
        with _own_limit(), _open(Path(path)) as image:
            # Orientations 5 to 8 turn the photo by 90 degrees.
            return image.size[::-1] if 5 <= _orientation(image) <= 8 else image.size
    except Exception as error:  # as in `open_photo`
        raise ImageError(f"{_shown(path)}: cannot be read ({reason(error)})") from None


def to_pixels(image, size):
    """Resize a PIL image to a square without keeping its proportions.

    No part of the photo is cut off. So every region covers an equal part of the
    photo, and an attention map covers the whole photo.

    Args:
        image: an RGB image.
        size: width and height of the result in pixels.

    Returns:
        A uint8 array (size, size, 3).
    """
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))


def load_pixels(photo, size):
    """Read a photo as input for an encoder.

    Args:
        photo: the path of a file, a PIL image, or a uint8 array (height, width, 3), RGB.
        size: width and height of the result in pixels.

    Returns:
        A uint8 array (size, size, 3), RGB.

    Raises:
        ImageError: the photo cannot be read.
    """
    if isinstance(photo, (Image.Image, np.ndarray)):
        return to_pixels(as_photo(photo), size)
    return to_pixels(open_photo(photo, at_least=2 * size), size)


def as_photo(image):
    """Convert a PIL image or an array to an upright RGB image.

    Args:
        image: a PIL image, or a uint8 array (height, width, 3), RGB.

    Returns:
        A PIL image.

    Raises:
        ImageError: the array has another type or shape, or the file of the PIL image is damaged.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ImageError(f"array of {image.dtype} {image.shape}: expected uint8 (height, width, 3), RGB")
        return Image.fromarray(image)
    try:
        image.load()  # Pillow rotates TIFF images here and removes their orientation, so it is read afterwards
        return _upright_rgb(image, _orientation(image))
    except Exception as error:  # Pillow decodes the file only now, and raises many types for damaged ones
        name = getattr(image, "filename", "") or "image"
        raise ImageError(f"{_shown(name)}: damaged image ({reason(error)})") from None


def is_image(data):
    """Return True if `data`, bytes, begins like an image file. The rest of it may be damaged."""
    if data.startswith((_PNG, _JPEG)):
        return True
    try:
        with _own_limit():
            _open(io.BytesIO(data)).close()
        return True
    except Image.DecompressionBombError:
        return True
    except Exception:
        return False
