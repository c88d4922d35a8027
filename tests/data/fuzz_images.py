"""Read randomly damaged images and count the results. `python -m tests.data.fuzz_images 20000` reads 20,000."""

import io
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from utils.data.images import load_pixels
from utils.errors import ImageError


def make_images():
    """Make small images with EXIF, XMP, colour profiles and texts, as far as the format supports them.

    Returns:
        A dict from a file name to the bytes of the file.
    """
    picture = Image.effect_noise((32, 24), 60).convert("RGB")
    picture.paste("red", (4, 4, 20, 12))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x9003] = 6, "Camera", "2024:01:01 00:00:00"
    exif.get_ifd(0x8769)[0x829A] = 0.5
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    from PIL import ImageCms, PngImagePlugin

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("a", "b" * 50, zip=True)
    texts.add_itxt("c", "d" * 50, zip=True)
    whole = {"exif": exif, "icc_profile": profile}
    more = {"save_all": True, "append_images": [picture.rotate(180)]}
    ways = {
        "jpeg": ("JPEG", whole | {"comment": b"c", "xmp": b'<x tiff:Orientation="6"/>'}),
        "progressive": ("JPEG", {"progressive": True}),
        "mpo": ("MPO", more | {"exif": exif}),
        "png": ("PNG", whole | {"pnginfo": texts}),
        "apng": ("PNG", more),
        "gif": ("GIF", more | {"comment": b"c"}),
        "webp": ("WEBP", whole),
        "avif": ("AVIF", whole),
        "heif": ("HEIF", whole),
        "jpeg2000": ("JPEG2000", {}),
        "tiff": ("TIFF", {"exif": exif}),
        "tiff_lzw": ("TIFF", {"compression": "tiff_lzw", "exif": exif}),
        "tiff_jpeg": ("TIFF", {"compression": "jpeg"}),
        "ico": ("ICO", {"sizes": [(16, 16)]}),
        "icns": ("ICNS", {}),
    }
    for form in ("BMP", "DIB", "PPM", "TGA", "PCX", "SGI", "IM", "DDS"):
        ways[form.lower()] = (form, {})
    images = {}
    for name, (form, options) in ways.items():
        buffer = io.BytesIO()
        picture.save(buffer, form, **options)
        images[name] = buffer.getvalue()
    for mode in ("1", "L", "P", "RGBA", "I;16", "CMYK", "F"):
        buffer = io.BytesIO()
        with_mode = Image.new("I;16", (20, 20), 900) if mode == "I;16" else picture.convert(mode)
        with_mode.save(buffer, "TIFF")
        images[f"tiff {mode}"] = buffer.getvalue()
    return images


def damage(data, generator):
    """Copy the bytes of a file and change one to eight of them. Sometimes the end is removed or a part is repeated."""
    data = bytearray(data)
    # Half of the changes are in the first bytes, which have sizes, offsets and types.
    reach = len(data) if generator.random() < 0.5 else min(len(data), 400)
    for position in generator.integers(0, reach, generator.integers(1, 9)):
        data[position] = generator.integers(256)
    chance = generator.random()
    if chance < 0.1:
        del data[generator.integers(1, len(data)) :]
    elif chance < 0.15:
        start, stop = sorted(generator.integers(0, len(data), 2))
        data[start:start] = data[start:stop]
    return bytes(data)


def fuzz(count, seed=0):
    """Read damaged images.

    Args:
        count: the number of images.
        seed: the random seed of the damages.

    Returns:
        (counts, faults): a Counter of images that were read and of images that
        raised an ImageError of one line; and a dict from the message of each
        other exception to the first damaged image that raised it.
    """
    generator, images = np.random.default_rng(seed), make_images()
    outcomes, others = Counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged"
        for number in range(count):
            name = list(images)[number % len(images)]
            data = damage(images[name], generator)
            path.write_bytes(data)
            start = time.perf_counter()
            try:
                load_pixels(path, 16)
                outcomes["read"] += 1
            except ImageError as error:
                outcomes["refused"] += 1
                if len(str(error).splitlines()) != 1:
                    others[f"{name}: of several lines"] = data
            except BaseException as error:
                outcomes["other"] += 1
                others.setdefault(f"{name}: {type(error).__name__} {error}", data)
            if time.perf_counter() - start > 10:
                others[f"{name}: {time.perf_counter() - start:.0f} seconds"] = data
    return outcomes, others


if __name__ == "__main__":
    began = time.perf_counter()
    outcomes, others = fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    print(dict(outcomes), f"{time.perf_counter() - began:.0f} seconds")
    for text in others:
        print(text)
    sys.exit(bool(others))
