"""The one way from an image file to pixels, for training and inference alike."""

import ctypes
import importlib.util
import io
import os
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, UnidentifiedImageError

from utils import files
from utils.data.walk import LeftOut, walk
from utils.errors import ImageError, ImageWarning, InputError, one_line, reason, shorten
from utils.progress import silent

pillow_heif.register_heif_opener()
Image.init()

# What Pillow takes for images, though it has no pixels of it, or asks Ghostscript, which runs programs.
_NO_IMAGES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
# Each is asked in turn whether a file is its own.
_FORMATS = ["JPEG", "PNG", *(form for form in Image.OPEN if form not in _NO_IMAGES | {"JPEG", "PNG"})]

# Names of photos. Some that Pillow would read are more often something else: tracks of sports watches, installers, …
SUFFIXES = {suffix for suffix, form in Image.registered_extensions().items() if form in _FORMATS}
SUFFIXES = frozenset(SUFFIXES | {".mpo", ".pjp", ".pjpeg"}) - {".fit", ".gbr", ".im", ".msp", ".vst"}

# Photos that Pillow does not read: cameras' own, and JPEG XL.
_UNREAD_SUFFIXES = frozenset(
    {".jxl", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srw", ".raf", ".orf", ".rw2", ".pef"}
)

# Pixels that are decoded at most: 800 MB as RGB. JPEGs are decoded smaller
# when they are larger, so in practice this concerns scans in other formats.
MAX_PIXELS = 2**28

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"  # how their files begin

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of odd metadata, in several lines, and of sizes that are judged here.
warnings.filterwarnings("ignore", module=r"PIL\.")

# libtiff, too, prints lines of its own on damaged files. The ImageError that follows names the file.
with suppress(AttributeError, OSError):  # Pillow is built without libtiff, or in another way
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)

_unlimited = threading.Lock()
_unlimited_readers = 0
_pillow_limit = None
_warned = set()
_names = {}


@contextmanager
def _without_pillow_limit():
    # Pillow judges a file by its full size, some formats again as they decode, although a JPEG can be decoded
    # at an eighth of it; MAX_PIXELS is checked once the decoded size is known. The limit belongs to the
    # process: the first of several threads takes it away, the last puts it back.
    global _unlimited_readers, _pillow_limit
    with _unlimited:
        if not _unlimited_readers:
            _pillow_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _unlimited_readers += 1
    try:
        yield
    finally:
        with _unlimited:
            _unlimited_readers -= 1
            if not _unlimited_readers:
                Image.MAX_IMAGE_PIXELS = _pillow_limit


def _to_rgb(image):
    """Any mode as RGB: transparency over white, 16 bits and floats scaled to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.array(image, dtype="float32")
        if image.mode == "F":
            top = 1 if values.max(initial=0) <= 1 else 255
        else:
            top = 255 if values.max(initial=0) <= 255 else 65535
        # In place, as scans in floats take gigabytes.
        values = np.clip(np.multiply(values, 255 / top, out=values), 0, 255, out=values)
        return Image.fromarray(values.astype("uint8")).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _orientation(image):
    """The EXIF orientation, 1 to 8; 1 where it cannot be read. Nothing else of the EXIF data is looked at."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        value = value[0] if isinstance(value, (tuple, bytes)) else value
        return int(value.strip("\0 ") if isinstance(value, str) else value)
    except Exception:  # cameras and programs write anything there
        return 1


def _upright_rgb(image, orientation):
    # Turned first: converting the mode may lose transparency.
    return _to_rgb(image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image)


def _decode(file, at_least, check=lambda image: None):
    """A path or a binary stream as an RGB image, upright; `check` sees it before."""
    with Image.open(file, formats=_FORMATS) as image:
        image.draft("RGB", (at_least, at_least))
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"{width} × {height} pixels are too many to decode; make the image smaller")
        if image.format == "TIFF":
            # Pillow's own reads all metadata, to turn the image.
            image.load_end = lambda: None
        orientation, mode = _orientation(image), image.mode
        image.load()
        if image.format == "TIFF":
            image._size = image.im.size
        check(image)
        image = _upright_rgb(image, orientation)
        image.info = {"mode": mode}
        return image


def _pixels_of_png(data):
    """The bytes of a PNG without what is not needed for its pixels: checksums there may be wrong, texts too long."""
    parts, position = [data[:8]], 8
    while position + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        chunk = data[position : position + 12 + length]
        whole = len(chunk) == 12 + length and zlib.crc32(chunk[4:-4]) == struct.unpack(">I", chunk[-4:])[0]
        if kind[:1].isupper() or (kind in (b"tRNS", b"eXIf") and whole):
            parts.append(chunk)
        position += 12 + length
    return b"".join(parts)


def _pixels_of_jpeg(data):
    """The bytes of a JPEG without metadata but EXIF and what its colours are, and with an end, which may be missing."""
    parts, position = [data[:2]], 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        segment = data[position : position + 2 + length]
        if marker == 0xDA:  # pixels
            break
        application = 0xE0 <= marker <= 0xEF and marker not in (0xE0, 0xEE)
        if not (application or marker == 0xFE) or segment[4:10] == b"Exif\0\0":
            parts.append(segment)
        position += 2 + length
    return b"".join([*parts, data[position:], b"\xff\xd9"])


def _check_half_is_there(image):
    # Where its data end, libjpeg gives grey.
    missing = (abs(np.asarray(image.convert("L"), "int16") - 128) <= 1).all(axis=1)[::-1]
    if missing[: len(missing) // 2 + 1].all():
        raise OSError("most of it is missing")


def _decode_despite(error, path, at_least):
    """A photo whose pixels are fine and whose file is not; raises `error` if it is none."""
    with open(path, "rb") as file:
        start = file.read(8)
        if start == _PNG:
            return _decode(io.BytesIO(_pixels_of_png(start + file.read())), at_least)
        if not start.startswith(_JPEG):
            raise error
        image = _decode(io.BytesIO(_pixels_of_jpeg(start + file.read())), at_least, _check_half_is_there)
    if "truncated" in str(error) and path not in _warned:
        _warned.add(path)
        message = f"{_shown(path)}: the end of the file is missing; read as far as it goes"
        warnings.warn(ImageWarning(message), stacklevel=2)
    return image


def name_photo(path, name):
    """Let errors and warnings call the file of a photo, such as one that was fetched, by another name."""
    _names[Path(path)] = name


def _shown(path):
    return one_line(shorten(_names.get(path, path)))


def open_photo(path, at_least=1024):
    """A photo as a person sees it: upright, RGB, first frame of an animation.

    Metadata cost no photo: of odd EXIF data the orientation is read if it can
    be, and what else is wrong beside the pixels is passed over. A JPEG whose end
    is missing is read as far as it goes if that is half of it, and an
    ImageWarning is issued, once for each file.

    Args:
        path: the file.
        at_least: JPEGs much larger than this many pixels on each side may be
            decoded smaller, which is several times faster.

    Returns:
        A PIL image; `info["mode"]` is the mode that the file has.

    Raises:
        ImageError: not a photo, damaged, or too large; the line says which.
    """
    path = Path(path)
    name = _shown(path)
    try:
        with _without_pillow_limit():
            try:
                return _decode(path, at_least)
            except (InputError, FileNotFoundError, IsADirectoryError, PermissionError):
                raise
            except Exception as error:
                return _decode_despite(error, path, at_least)
    except InputError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: a folder, not a photo") from None
    except PermissionError:
        raise ImageError(f"{name}: may not be read; check its permissions") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name}: not an image that can be read (JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF, BMP and others can)"
        ) from None
    # Decoders raise whatever they meet in a damaged file: struct.error, RuntimeError, ZeroDivisionError, …
    except Exception as error:
        raise ImageError(f"{name}: damaged image ({reason(error)})") from None


def find_unreadable(paths, progress=silent):
    """The files that are no photos that can be read: a dict from path to ImageError.

    Args:
        paths: files.
        progress: called as tqdm is.
    """
    bad = {}

    def check(path):
        try:
            open_photo(path, at_least=1)  # decoded as small as can be
        except ImageError as error:
            bad[path] = error

    with ThreadPoolExecutor() as pool, progress(total=len(paths), unit="photo", desc="reading") as bar:
        for _ in pool.map(check, paths):
            bar.update()
    return bad


def to_pixels(image, size):
    """A PIL image squashed to `size` × `size`: uint8 (size, size, 3).

    The whole photo is kept and its sides may be squeezed, so every region of
    the grid stands for the same share of the photo, and an attention map
    covers it from edge to edge.
    """
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))


def load_pixels(photo, size):
    """The pixels of a photo as the encoders take them: uint8 (size, size, 3).

    Args:
        photo: a file, or an image as `as_photo` takes it.
        size: pixels a side.

    Raises:
        ImageError: as `open_photo`, or as `as_photo`.
    """
    if isinstance(photo, (Image.Image, np.ndarray)):
        return to_pixels(as_photo(photo), size)
    return to_pixels(open_photo(photo, at_least=2 * size), size)


def as_photo(image):
    """An image in memory as `open_photo` gives files: upright, RGB.

    Args:
        image: a PIL image, or an array, uint8 (height, width, 3), RGB.

    Returns:
        A PIL image.

    Raises:
        ImageError: an array of another kind, or an image whose file is damaged.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ImageError(f"array of {image.dtype} {image.shape}: give uint8 (height, width, 3), RGB")
        return Image.fromarray(image)
    try:
        image.load()  # Pillow turns TIFF images itself, and then their orientation is gone
        return _upright_rgb(image, _orientation(image))
    except Exception as error:  # Pillow reads the file only now, and raises whatever it meets in a damaged one
        name = getattr(image, "filename", "") or "image"
        raise ImageError(f"{_shown(name)}: damaged image ({reason(error)})") from None


def is_image(data):
    """Whether bytes begin as an image does, however damaged it may be."""
    if data.startswith((_PNG, _JPEG)):
        return True
    try:
        with _without_pillow_limit():
            Image.open(io.BytesIO(data), formats=_FORMATS).close()
        return True
    except Exception:
        return False


def is_photo(name):
    """Whether a file of this name is taken for a photo that can be read."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def find_photos(path, note=lambda line: None):
    """The photo files that a path names: itself, or those in a folder and its subfolders, sorted.

    Args:
        path: a file or a folder, of which `walk` tells what is left out.
        note: called with a line on what was left out, if anything was.

    Raises:
        InputError: nothing there, or a folder without photos.
    """
    path, photos, left_out = Path(path), [], LeftOut()
    if not files.is_dir(path):
        if not files.exists(path):
            raise InputError(f"{shorten(path)}: no such file or folder")
        return [path]
    for found, name in walk(path, is_photo, left_out):
        if is_photo(name):
            photos.append(Path(found))
        elif os.path.splitext(name)[1].lower() in _UNREAD_SUFFIXES:
            left_out.add("photos of formats that are not read; save them as JPEG", found)
    if not photos:
        raise InputError(f"{path}: no photos in this folder" + (f"; {left_out}" if left_out else ""))
    if left_out:
        note(f"{path}: {left_out}")
    return sorted(photos)


def sample_photo():
    """A photo that is on every machine: the public-domain portrait of Grace Hopper that matplotlib carries."""
    # Found rather than imported, which takes a while; some distributions put the data elsewhere.
    data = Path(importlib.util.find_spec("matplotlib").origin).with_name("mpl-data")
    if not data.exists():
        import matplotlib

        data = Path(matplotlib.get_data_path())
    return data / "sample_data" / "grace_hopper.jpg"
