"""Remove damaged metadata from image files, so that their pixels can be decoded."""

import struct
import zlib


def pixels_of_png(data):
    """Remove from a PNG file the chunks that the pixels do not need, because these chunks may be damaged.

    Args:
        data: the bytes of the file.

    Returns:
        The bytes of a smaller PNG file.
    """
    parts, position = [data[:8]], 8
    while position + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        chunk = data[position : position + 12 + length]
        whole = len(chunk) == 12 + length and zlib.crc32(chunk[4:-4]) == struct.unpack(">I", chunk[-4:])[0]
        if kind[:1].isupper() or (kind in (b"tRNS", b"eXIf") and whole):
            parts.append(chunk)
        position += 12 + length
    return b"".join(parts)


def pixels_of_jpeg(data):
    """Remove from a JPEG file all metadata except EXIF and the colour space, and add the marker that ends a JPEG.

    Args:
        data: the bytes of the file. The last part of the file may be missing.

    Returns:
        The bytes of a JPEG file.
    """
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
