"""Shards of the region cache: zip archives of photos' regions, 8 bits a value, compressed.

A shard is written once and never changes. Nothing of it stays open: a large
dataset has hundreds, more than some systems let a process open.
"""

import os
import struct
import zipfile
import zlib
from collections import namedtuple

import numpy as np

from utils.errors import InputError

# Where the regions of a photo lie; the stamp tells which file they were made from.
Member = namedtuple("Member", "shard offset size checksum stamp")

# A zip archive's header before a member: 30 bytes, of which the last four are
# the lengths of the name and of what else follows.
_HEADER = struct.Struct("<26x2H")


def pack(regions):
    """Regions of one photo as bytes: 8 bits a value, compressed.

    Args:
        regions: float (regions, channels), none negative.
    """
    scale = np.float32(regions.max(initial=0) / 255)
    codes = np.rint(regions / (scale or 1)).astype("uint8")
    # Channel after channel: a channel that never fires takes no room.
    return scale.tobytes() + zlib.compress(np.ascontiguousarray(codes.T).tobytes(), 6)


def unpack(data):
    """The bytes that `pack` made, no longer compressed: what `restore` takes."""
    return data[:4] + zlib.decompress(data[4:])


def restore(data, channels):
    """The float32 (regions, channels) given to `pack`, to within 1/510 of the largest value, from unpacked bytes."""
    scale, codes = np.frombuffer(data, "float32", 1)[0], np.frombuffer(data, "uint8", offset=4)
    return codes.reshape(channels, -1).T.astype("float32") * scale


def write(shard, name, regions, stamp):
    """Add a photo's regions to a shard.

    Args:
        shard: a ZipFile that is being written.
        name: of the photo.
        regions: float (regions, channels).
        stamp: as `file_stamp` gives it.
    """
    member = zipfile.ZipInfo(name)
    member.comment = stamp
    shard.writestr(member, pack(regions))


def index(path):
    """Member by name of photo.

    Raises:
        zipfile.BadZipFile: cut short.
    """
    with zipfile.ZipFile(path) as shard:
        return {
            info.filename: Member(path, info.header_offset, info.compress_size, info.CRC, info.comment)
            for info in shard.infolist()
        }


def read(member):
    """What lies in a shard of a Member, for `restore`.

    Raises:
        InputError: the shard is damaged, or no longer there.
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
        raise InputError(f"{member.shard}: damaged; delete this file and run again, its photos are extracted anew")
    return unpack(data)


def file_mark(path):
    """What changes whenever a photo file does: the time of its last change, and that of the last change at all.

    The first can be put back by the program that changes the file, as ExifTool
    and backups do; the second is the system's own. Windows has none, so there
    the first and the last 4 KB of the file are looked at.

    Returns:
        Two numbers; None if there is no such file.
    """
    try:
        status = path.stat()
        return status.st_mtime_ns, _ends(path, status.st_size) if os.name == "nt" else status.st_ctime_ns
    except OSError:
        return None


def _ends(path, size):
    """A checksum of the first and the last 4 KB of a file."""
    with open(path, "rb") as file:
        checksum = zlib.crc32(file.read(4096))
        file.seek(max(0, size - 4096))
        return zlib.crc32(file.read(4096), checksum)


def file_stamp(path):
    """What tells a photo file from another one of the same name: size, `file_mark` and, of all its bytes, a checksum.

    Raises:
        OSError: it cannot be read, or is no longer there.
    """
    mark = file_mark(path)  # before the content: a change meanwhile is seen the next time
    data = path.read_bytes()
    if mark is None:
        raise FileNotFoundError(path)
    return f"{len(data)} {mark[0]} {zlib.crc32(data):08x} {mark[1]}".encode()


def if_of(member, path):
    """The Member if it was made from the file that is at `path` now, None if not.

    A file of the same size and mark is the same. One of the same size and another
    mark, as copies on other machines have, is read whole and known by its
    checksum; the Member then comes with the new mark, so that it is read once
    only. So are those of caches that know no mark but the time.
    """
    try:
        size, time, checksum, *change = member.stamp.split()
        if int(size) != path.stat().st_size:
            return None
        if (int(time), *map(int, change)) == file_mark(path):
            return member
        stamp = file_stamp(path)
        return member._replace(stamp=stamp) if stamp.split()[2] == checksum else None
    except (OSError, ValueError):
        return None
