"""Files that a client names by a path on the hub's own machine: only those under a folder that the operator allowed.

What lies outside is refused in the same words whether it exists or not. The path that is checked is the file that is
opened: from the allowed folder down, each part is opened in the folder before it and may not be a symbolic link, so
nothing that is exchanged meanwhile leads elsewhere.
"""

import errno
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from exai.protocol.errors import InvalidValue

_LONGEST_PATH = 4_096  # bytes, as of Linux
_LONGEST_PART = 255
_LONGEST_SHOWN = 200  # characters
_OF_WINDOWS = re.compile(r"[A-Za-z]:|.*\\|//")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Files that a kernel makes up: a process's environment, with all secrets in it, is such a file.
_KERNELS_FOLDERS = ("/proc", "/sys")

_OUTSIDE = "is no file under the folders that this hub may read from"
_KINDS = (
    (stat.S_ISDIR, "is a folder: name the files in it"),
    (stat.S_ISFIFO, "is a pipe, not a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)


class _Refused(Exception):
    """Its text goes after the path."""


def open_allowed(text: str, roots: Sequence[Path], *, closed: Sequence[Path] = ()) -> BinaryIO:
    """The file at an absolute path, open for reading in binary; its `name` is the path with all links resolved.

    `closed`: folders and files that lie under no root, wherever they are. Touches the disk, so it belongs in a thread.
    Raises `InvalidValue`, whose words may go to the client.
    """
    try:
        return _open(text, roots, closed)
    except _Refused as refusal:
        reason = str(refusal)
        raise InvalidValue(f"{_shown(text)} {reason}.", path=reason) from None


def _open(text: str, roots: Sequence[Path], closed: Sequence[Path]) -> BinaryIO:
    _check_form(text)
    if not roots:
        raise _Refused(
            "is a path on the hub's machine, and the hub reads none (EXAI_FILE_ROOTS is empty): upload the file to"
            " /api/files/ and name its id, or send its content"
        )
    path = Path(os.path.realpath(text))
    if any(path.is_relative_to(os.path.realpath(one)) for one in closed):
        raise _Refused(_OUTSIDE)
    for root in map(os.path.realpath, roots):
        if path == Path(root):
            raise _Refused("is a folder: name the files in it")
        if path.is_relative_to(root):
            return _open_under(root, path.relative_to(root).parts)
    raise _Refused(_OUTSIDE)


def _check_form(text: str) -> None:
    if not text:
        raise _Refused("is empty: name a file")
    if _UNPRINTABLE.search(text):
        raise _Refused("holds control characters")
    if _OF_WINDOWS.match(text):
        raise _Refused("is not a path of this hub's system: write /FOLDER/FILE")
    if not text.startswith("/"):
        raise _Refused("is not absolute: write it from / on")
    if len(text.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_PART for part in text.split("/")):
        raise _Refused(f"is too long: {_LONGEST_PATH:,} bytes at most, and {_LONGEST_PART} for each part")
    if ".." in text.split("/"):
        raise _Refused('holds "..": write it without')


def _open_under(root: str, parts: tuple[str, ...]) -> BinaryIO:
    try:
        folder = os.open(root, _FLAGS | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                inner = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = inner
            # Looked at before it is opened, for opening a device may do something.
            _check_kind(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
            descriptor = os.open(parts[-1], _FLAGS, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise _Refused("may not be read by the hub") from None
        raise _Refused(_OUTSIDE) from None
    try:
        _check_kind(os.fstat(descriptor))
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return open(Path(root, *parts), "rb", opener=lambda _path, _flags: descriptor)


def _check_kind(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _Refused(next((reason for is_kind, reason in _KINDS if is_kind(found.st_mode)), _OUTSIDE))
    for folder in map(Path, _KERNELS_FOLDERS):
        # Where it is no mount, it is an empty folder of the same system as all else.
        if folder.is_mount() and found.st_dev == folder.stat().st_dev:
            raise _Refused(_OUTSIDE)


def _shown(text: str) -> str:
    shown = _UNPRINTABLE.sub("\ufffd", text)
    return f'"{shown[:_LONGEST_SHOWN]}…"' if len(shown) > _LONGEST_SHOWN else f'"{shown}"'
