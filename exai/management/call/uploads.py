"""Files of this machine that a call names: checked before anything is sent, uploaded, and replaced by their ids."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from exai.management.call.arguments import ArgumentError
from exai.uploads import upload

FILE_FIELDS = ("files", "relevant_files", "images")
_QUIET_S = 2.0  # an upload that takes longer shows how far it is
_MEBIBYTE = 1024 * 1024
_CLEAR_LINE = "\r\033[2K"


def local_files(arguments: dict[str, Any]) -> dict[str, Path]:
    """The paths among the arguments' files: as they are named, and where they are. Ids, `data:` URLs and objects are
    none. Raises `ArgumentError` for a path that cannot be read."""
    return {reference: _readable(field, reference) for field, reference in _named(arguments) if _is_path(reference)}


def with_ids(arguments: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """The arguments with ids in place of the paths."""
    replaced = dict(arguments)
    for field in FILE_FIELDS:
        if isinstance(listed := arguments.get(field), list):
            replaced[field] = [ids.get(item, item) if isinstance(item, str) else item for item in listed]
    return replaced


async def upload_files(paths: dict[str, Path], *, url: str, token: str, shows_progress: bool) -> dict[str, str]:
    """Uploads each file once; gives the ids by the names of `local_files`. Raises `ClientError`, `ArgumentError`."""
    ids: dict[Path, str] = {}
    for number, path in enumerate(dict.fromkeys(paths.values()), 1):
        view = _Progress(path, f"{number} of {len(set(paths.values()))}", shown=shows_progress)
        try:
            answer = await upload(path, url=url, token=token, on_progress=view.show)
        except OSError as error:
            raise ArgumentError(f"{path} cannot be read: {error.strerror}.") from None
        finally:
            view.clear()
        ids[path] = answer["id"]
    return {reference: ids[path] for reference, path in paths.items()}


def _named(arguments: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in FILE_FIELDS:
        listed = arguments.get(field)
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, str):
                yield field, item


def _is_path(reference: str) -> bool:
    if reference[:5].lower() == "data:":
        return False
    if len(reference) != 36:  # UUID() would take the name of a cache's file, of 32 digits, too; the hub does not
        return True
    try:
        UUID(reference)
    except ValueError:
        return True
    return False


def _readable(field: str, reference: str) -> Path:
    try:
        path = Path(reference).expanduser()
        kind = path.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ArgumentError(f"{field}: {reference[:200]} cannot be read: {reason}.") from None
    if stat.S_ISDIR(kind):
        raise ArgumentError(f"{field}: {reference} is a directory; name the files in it.")
    if not stat.S_ISREG(kind):
        raise ArgumentError(f"{field}: {reference} is no regular file.")
    if not os.access(path, os.R_OK):
        raise ArgumentError(f"{field}: {reference} cannot be read: Permission denied.")
    return path.resolve()


class _Progress:
    """One line on the terminal, or one in all where there is none, once an upload takes its time."""

    def __init__(self, path: Path, place: str, *, shown: bool) -> None:
        self._title = f"Uploading {path.name} ({place})"
        self._size = path.stat().st_size
        self._started = time.monotonic()
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = shown
        self._has_begun = False

    def show(self, sent_bytes: int) -> None:
        if not self._shown or time.monotonic() - self._started < _QUIET_S or (self._has_begun and not self._live):
            return
        self._has_begun = True
        line = f"{self._title}: {sent_bytes / _MEBIBYTE:.1f} of {self._size / _MEBIBYTE:.1f} MiB"
        line = "".join(character if character.isprintable() else "\ufffd" for character in line)
        sys.stderr.write(f"{_CLEAR_LINE}{line}" if self._live else f"{line}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._has_begun and self._live:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
