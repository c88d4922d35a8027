"""Reading and writing shards of the region cache: zip archives of regions with 8 bits per value.

A shard is written once and never changes. Shards are not kept open, because a
large dataset has hundreds, more than some systems allow a process to open.
"""

import os
import struct
import zipfile
import zlib
from collections import namedtuple

import numpy as np

from utils.errors import InputError

# The place of a photo's regions in a shard: the path, the position and size in bytes, a checksum, and the
# `file_version` of the photo's file.
Member = namedtuple("Member", "shard offset size checksum stamp")

# The header of a member in a zip archive: 30 bytes. The last four are the
# lengths of the name and of the extra data, which follow.
_HEADER = struct.Struct("<26x2H")


def pack(regions):
    """Compress the regions of one photo to bytes, with 8 bits per value.

    Args:
        regions: a float array (regions, channels) without negative values.
    """
    scale = np.float32(regions.max(initial=0) / 255)
    codes = np.rint(regions / (scale or 1)).astype("uint8")
    # Stored channel by channel, because a channel of zeros compresses to almost nothing.
    return scale.tobytes() + zlib.compress(np.ascontiguousarray(codes.T).tobytes(), 6)


def unpack(data):
    """Decompress the bytes of `pack` to the bytes for `restore`."""
    return data[:4] + zlib.decompress(data[4:])


def restore(data, channels):
    """Convert unpacked bytes to regions.

    Args:
        data: the bytes that `unpack` returns.
        channels: the number of channels.

    Returns:
        A float32 array (regions, channels). It differs from the one given to
        `pack` by at most 1/510 of the largest value.
    """
    scale, codes = np.frombuffer(data, "float32", 1)[0], np.frombuffer(data, "uint8", offset=4)
    return codes.reshape(channels, -1).T.astype("float32") * scale


def write(shard, name, regions, stamp):
    """Add a photo's regions to a shard.

    Args:
        shard: a ZipFile that is open for writing.
        name: the name of the photo.
        regions: a float array (regions, channels).
        stamp: the `file_version` of the photo's file.
    """
    member = zipfile.ZipInfo(name)
    member.comment = stamp
    shard.writestr(member, pack(regions))


def index(path):
    """The Members of a shard, as a dict by the photo's name.

    Raises:
        zipfile.BadZipFile: the shard is incomplete.
    """
    with zipfile.ZipFile(path) as shard:
        return {
            info.filename: Member(path, info.header_offset, info.compress_size, info.CRC, info.comment)
            for info in shard.infolist()
        }


def read(member):
    """Read the regions of a Member, as bytes for `restore`.

    Raises:
        InputError: the shard is damaged or no longer exists.
    """
    try:
        with open(member.shard, "rb") as file:
            file.seek(member.offset)
            header = file.read(_HEADER.size)
            if len(header) == _HEADER.size:
                file.seek(sum(_HEADER.unpack(header)), 1)
            data = file.read(member.size)
    except OSError as error:
        raise InputError(f"{member.shard}: cannot be read ({error.strerror}); run again") from None
    if zlib.crc32(data) != member.checksum:
        raise InputError(f"{member.shard}: damaged; delete this file and run again to extract its photos again")
    return unpack(data)


def file_times(path):
    """Two numbers of which at least one changes whenever a file changes.

    The first is the modification time. Programs such as ExifTool and backups
    can set it to the old value. The second is the time of the last change of
    the file's data or attributes (`ctime`), which programs cannot set. Windows
    has no such time, so there the second is a checksum of the first and last
    4 KB of the file.

    Returns:
        (modification time in ns, `ctime` in ns or checksum), or None if the file does not exist.
    """
    try:
        status = path.stat()
        return status.st_mtime_ns, _ends(path, status.st_size) if os.name == "nt" else status.st_ctime_ns
    except OSError:
        return None


def _ends(path, size):
    """A checksum of the first and last 4 KB of a file of `size` bytes."""
    with open(path, "rb") as file:
        checksum = zlib.crc32(file.read(4096))
        file.seek(max(0, size - 4096))
        return zlib.crc32(file.read(4096), checksum)


def file_version(path):
    """Identify the version of a photo's file: its size, a checksum of all bytes, and its `file_times`, as bytes.

    Raises:
        OSError: the file cannot be read or does not exist.
    """
    mark = file_times(path)  # read before the content, so that a change in between is noticed later
    data = path.read_bytes()
    if mark is None:
        raise FileNotFoundError(path)
    return f"{len(data)} {mark[0]} {zlib.crc32(data):08x} {mark[1]}".encode()


def member_if_current(member, path):
    """Check that a Member was made from the current version of a photo's file.

    A file with the same size and mark is the same version. A file with the same
    size and another mark, such as a copy on another machine, is compared by the
    checksum of all its bytes. The returned Member has the new mark, so the file
    is read only once. Stamps of earlier versions of this program have only the
    modification time as a mark; they are compared by checksum, too.

    Args:
        member: a Member.
        path: the photo's file.

    Returns:
        The Member, perhaps with a new stamp, or None if the file is another version.
    """
    try:
        size, time, checksum, *change = member.stamp.split()
        if int(size) != path.stat().st_size:
            return None
        if (int(time), *map(int, change)) == file_times(path):
            return member
        stamp = file_version(path)
        return member._replace(stamp=stamp) if stamp.split()[2] == checksum else None
    except (OSError, ValueError):
        return None
