"""Shards of the region cache: zip archives of photos' regions, 8 bits a value, compressed.

A shard is written once and never changes. Nothing of it stays open: a large
dataset has hundreds, more than some systems let a process open.
"""

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


def file_time(path):
    """The time of a file's last change in nanoseconds; None if there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def file_stamp(path):
    """What tells a photo file from another one of the same name: size, time of its last change, checksum."""
    with open(path, "rb") as file:
        data = file.read()
    return f"{len(data)} {file_time(path)} {zlib.crc32(data):08x}".encode()


def if_of(member, path):
    """The Member if it was made from the file that is at `path` now, None if not.

    Copies on other machines may have another time; then the contents decide,
    and the Member comes with the new time, so that they need be read only once.
    """
    try:
        status = path.stat()
        size, time, *checksum = member.stamp.split()
        if int(size) != status.st_size:
            return None
        if int(time) == status.st_mtime_ns:
            return member
        stamp = file_stamp(path)
        return member._replace(stamp=stamp) if stamp.split()[2:] == checksum else None
    except (OSError, ValueError):
        return None
