"""The one way from an image file to pixels, for training and inference alike."""

import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from utils.errors import ImageError, InputError
from utils.progress import silent

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"})

# Photos that Pillow does not read by itself: telephones' and cameras' own.
_UNREAD_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw"})

# Pixels that are decoded at most: 800 MB as RGB. JPEGs are decoded smaller
# when they are larger, so in practice this concerns scans in other formats.
MAX_PIXELS = 2**28

_pillow_limit = threading.Lock()


def _open(path):
    # Pillow judges a file by its full size, although a JPEG can be decoded at
    # an eighth of it; MAX_PIXELS is checked once the decoded size is known.
    with _pillow_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _to_rgb(image):
    """Any mode as RGB: transparency over white, 16 bits and floats scaled to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype="float32")
        if image.mode == "F":
            top = 1 if values.max(initial=0) <= 1 else 255
        else:
            top = 255 if values.max(initial=0) <= 255 else 65535
        return Image.fromarray((np.clip(values / top, 0, 1) * 255).astype("uint8")).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def open_photo(path, at_least=1024):
    """A photo as a person sees it: upright, RGB, first frame of an animation.

    Args:
        path: the file.
        at_least: JPEGs much larger than this many pixels on each side may be
            decoded smaller, which is several times faster.

    Returns:
        A PIL image.

    Raises:
        ImageError: not a photo, damaged, or too large; the line says which.
    """
    path = Path(path)
    try:
        with _open(path) as image:
            image.draft("RGB", (at_least, at_least))
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(f"{path}: {width} × {height} pixels are too many to decode; make the image smaller")
            # Orientation first: converting the mode may lose the EXIF block.
            return _to_rgb(ImageOps.exif_transpose(image))
    except InputError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: a folder, not a photo") from None
    except PermissionError:
        raise ImageError(f"{path}: may not be read; check its permissions") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image that can be read (JPEG, PNG, GIF, BMP, WebP or TIFF)") from None
    # Pillow's decoders raise whatever they meet in a damaged file.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError) as error:
        raise ImageError(f"{path}: damaged image ({' '.join(str(error).split()) or type(error).__name__})") from None


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
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow reads the file only now, and raises whatever it meets in a damaged one
        name = getattr(image, "filename", "") or "image"
        raise ImageError(f"{name}: damaged image ({' '.join(str(error).split()) or type(error).__name__})") from None


def find_photos(path):
    """The photo files that a path names: itself, or those in a folder and its subfolders, sorted.

    Raises:
        InputError: nothing there, or a folder without photos.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        return [path]
    photos = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not photos:
        raise InputError(f"{path}: no photos in this folder ({', '.join(sorted(SUFFIXES))})")
    return photos


def find_unread(path):
    """Photos in a folder and its subfolders that `find_photos` leaves out, as their format is not read, sorted."""
    path = Path(path)
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in _UNREAD_SUFFIXES) if path.is_dir() else []


def sample_photo():
    """A photo that is on every machine: the public-domain portrait of Grace Hopper that matplotlib carries."""
    # Found rather than imported, which takes a while; some distributions put the data elsewhere.
    data = Path(importlib.util.find_spec("matplotlib").origin).with_name("mpl-data")
    if not data.exists():
        import matplotlib

        data = Path(matplotlib.get_data_path())
    return data / "sample_data" / "grace_hopper.jpg"
