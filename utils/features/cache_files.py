"""Read and write shards, the files of the region cache: zip archives of regions with 8 bits per value.

A shard is written once and never changes. Shards are not kept open, because a
large dataset has hundreds of them, more than some systems allow a process to open.

A shard also has the version of each photo's file, because a photo can be
replaced. Two functions describe the file: `file_times` is fast, because it reads
only times (on Windows, also 8 KB); `file_version` is reliable, because it reads all bytes.
"""

import os
import struct
import zipfile
import zlib
from collections import namedtuple

import numpy as np

from utils.errors import InputError

# The place of a photo's regions: the path of the shard, the position and the size in the shard in bytes, the checksum
# of these bytes, and the `file_version` of the photo's file from which the regions were made.
Member = namedtuple("Member", "shard offset size checksum version")

# The header of a member in a zip archive: 30 bytes. The last four are the
# lengths of the name and of the extra data, which follow.
_HEADER = struct.Struct("<26x2H")


def pack(regions):
    """Compress the regions of one photo, with 8 bits per value.

    Args:
        regions: a float array (regions, channels) without negative values.

    Returns:
        The compressed bytes.
    """
    scale = np.float32(regions.max(initial=0) / 255)
    codes = np.rint(regions / (scale or 1)).astype("uint8")
    # The values are stored channel by channel, because a channel of zeros compresses to almost nothing.
    return scale.tobytes() + zlib.compress(np.ascontiguousarray(codes.T).tobytes(), 6)


def unpack(data):
    """Decompress the regions of one photo, bytes that `pack` has compressed.

    Returns bytes: four for a scale, then one for each value. `restore` converts these bytes to an array.
    """
    return data[:4] + zlib.decompress(data[4:])


def restore(data, channels):
    """Convert the regions of one photo from bytes to an array.

    Args:
        data: the decompressed bytes: four bytes for a scale, then one byte for each value.
        channels: the number of channels of the regions.

    Returns:
        A float32 array (regions, channels). It differs from the array before the
        compression by at most 1/510 of the largest value.
    """
    scale, codes = np.frombuffer(data, "float32", 1)[0], np.frombuffer(data, "uint8", offset=4)
    return codes.reshape(channels, -1).T.astype("float32") * scale


def write(shard, name, regions, version):
    """Add a photo's regions to a shard, a zip archive.

    Args:
        shard: a ZipFile that is open for writing.
        name: the name of the photo in the archive.
        regions: a float array (regions, channels) without negative values.
        version: bytes with size, times and checksum of the photo's file (see `file_version`).
    """
    member = zipfile.ZipInfo(name)
    member.comment = version
    shard.writestr(member, pack(regions))


def index(path):
    """Read the table of contents of a shard, a zip archive of regions.

    Args:
        path: the shard, a Path.

    Returns:
        A dict from the name of each photo to its Member, which says where in the shard its regions are.

    Raises:
        zipfile.BadZipFile: the shard is incomplete.
    """
    with zipfile.ZipFile(path) as shard:
        return {
            info.filename: Member(path, info.header_offset, info.compress_size, info.CRC, info.comment)
            for info in shard.infolist()
        }


def read(member):
    """Read the regions of a photo from a shard, a zip archive.

    Args:
        member: a Member, which says in which shard, and where in the shard, the regions are.

    Returns:
        Decompressed bytes: four for a scale, then one for each value. `restore` converts them to an array.

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
    """Return two numbers, at least one of which changes whenever the file changes.

    The first number is the modification time. It is not enough, because programs
    such as ExifTool and backups can set it to the old value. The second number is
    the `ctime`, the time of the last change of the file's data or attributes.
    Programs cannot set it. Windows has no such time. On Windows, the second number
    is a checksum of the first and last 4 KB of the file.

    Args:
        path: the file, a Path.

    Returns:
        A pair: the modification time in ns; the `ctime` in ns, or the checksum on Windows. None if the file cannot be
        read.
    """
    try:
        status = path.stat()
        return status.st_mtime_ns, _ends(path, status.st_size) if os.name == "nt" else status.st_ctime_ns
    except OSError:
        return None


def _ends(path, size):
    """Compute a checksum, an int, of the first and last 4 KB of a file. `path` is a Path; `size` is in bytes."""
    with open(path, "rb") as file:
        checksum = zlib.crc32(file.read(4096))
        file.seek(max(0, size - 4096))
        return zlib.crc32(file.read(4096), checksum)


def file_version(path):
    """Describe the version of a photo's file by its size, its times and a checksum of all its bytes.

    Args:
        path: the file, a Path.

    Returns:
        Bytes such as b"48213 1700000000000000000 0f3a99c1 1700000000000000000": the size in bytes, the
        modification time in ns, the checksum of all bytes, and the `ctime` in ns, the time of the last change of
        data or attributes. On Windows, the last number is a checksum of the first and last 4 KB instead.

    Raises:
        OSError: the file cannot be read or does not exist.
    """
    times = file_times(path)  # read before the content, so that a change in between is noticed later
    data = path.read_bytes()
    if times is None:
        raise FileNotFoundError(path)
    return f"{len(data)} {times[0]} {zlib.crc32(data):08x} {times[1]}".encode()


def member_if_current(member, path):
    """Check whether cached regions were made from the current version of a photo's file.

    If the file's size and times are the same, the version is the same. If only
    the times differ, for example because the file was copied to another
    machine, the checksum of all bytes is compared. The returned Member then has
    the new times, so that the file is not read again.

    Caches of earlier releases of this program have only the modification time.
    So the checksum is compared for them, too.

    Args:
        member: a Member, which says where the regions are and from which version of the file they were made.
        path: the photo's file, a Path.

    Returns:
        The Member, perhaps with new times; None if the file has changed or cannot be read.
    """
    try:
        size, time, checksum, *change = member.version.split()
        if int(size) != path.stat().st_size:
            return None
        if (int(time), *map(int, change)) == file_times(path):
            return member
        version = file_version(path)
        return member._replace(version=version) if version.split()[2] == checksum else None
    except (OSError, ValueError):
        return None
