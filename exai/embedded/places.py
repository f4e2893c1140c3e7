"""The folders of the engines: whose they are, where they lie, and where else when the engines' user cannot reach them.

Permissions of folders that we did not make are never changed.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from exai.embedded.errors import EngineError
from exai.embedded.identity import Identity, owner_name

# Only root writes there, so nobody can plant anything in it.
FALLBACK_BASE = Path("/var/lib/exai")
# The shorter of Linux's 107 and macOS's 103 bytes for the path of a socket.
_LONGEST_SOCKET_PATH = 103
_LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432")


def make_data_dir(data_dir: Path) -> Path:
    """The data directory, made with what is missing above it; one that exists stays as it is.

    Closed to others. Where root makes it, the engines' user may pass through, but not list it.
    """
    missing = [data_dir] if not data_dir.exists() else []
    while missing and not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:  # another process was quicker
            continue
        if os.geteuid() == 0:
            folder.chmod(0o711)
    return data_dir


def find_home(data_dir: Path, remembered: str | None, identity: Identity, names: list[str]) -> Path:
    """The folder that holds the engines' folders `names`, which are made where missing."""
    if remembered is not None:
        home = Path(remembered)
        if home != data_dir:
            _make_fallback(home)
        if not _usable(home, names, identity):
            raise EngineError(
                f"The databases of this hub lie in {home}, which the user {identity.name} may no longer enter. "
                f"Let that user pass the folders above it, or run the hub as another user than root."
            )
        return home
    if _usable(data_dir, names, identity):
        return data_dir
    for name in names:
        _remove_if_empty(data_dir / name)
    if not identity.borrowed:
        raise EngineError(f"{data_dir} cannot be written by the user {identity.name}. Set EXAI_DATA_DIR elsewhere.")
    identity.require()
    home = fallback_home(data_dir)
    _make_fallback(home)
    if not _usable(home, names, identity):
        for folder in (*(home / name for name in names), home):
            _remove_if_empty(folder)
        raise EngineError(
            f"The user {identity.name}, as whom the databases run under root, may enter neither {data_dir} nor {home}. "
            "Set EXAI_DATA_DIR to a folder that every user may pass, such as /srv/exai."
        )
    return home


def fallback_home(data_dir: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return FALLBACK_BASE / f"{data_dir.name.strip('.') or 'data'}-{digest}"


def make_socket_dir(identity: Identity) -> Path:
    """A short folder of the engines' user alone.

    $XDG_RUNTIME_DIR comes last: a hub that outlives its login would lose its sockets with it.
    """
    tried = []
    bases = [tempfile.gettempdir(), "/tmp", os.environ.get("XDG_RUNTIME_DIR", "")]  # noqa: S108  mkdtemp makes it private
    for base in dict.fromkeys(bases):
        if not base:
            continue
        tried.append(base)
        try:
            path = Path(tempfile.mkdtemp(prefix="exai-", dir=base))
        except OSError:
            continue
        identity.give(path)
        if len(os.fsencode(path)) + _LONGEST_SOCKET_NAME <= _LONGEST_SOCKET_PATH and identity.may_use(path):
            return path
        path.rmdir()
    raise EngineError(
        f"No folder for the databases' sockets: {', '.join(tried)} cannot be written by the user {identity.name}, "
        "or have too long a path. Set TMPDIR to a short one that can."
    )


def restore_socket_dir(path: Path, identity: Identity) -> None:
    """Make a socket folder anew that a cleaner of temporary files took away; its path is in use."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if path.lstat().st_uid != identity.uid:
            raise EngineError(f"{path} was taken by the user {owner_name(path)}. Restart the hub.") from None
    else:
        identity.give(path)


def remove_socket_dir(path: Path, identity: Identity) -> None:
    """Remove it if it still is ours: its name may have been given to another user's folder since."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(info.st_mode) and info.st_uid == identity.uid:
        shutil.rmtree(path, ignore_errors=True)


def trusted_base() -> Path:
    """The base of fallbacks, made where missing. Root only."""
    try:
        FALLBACK_BASE.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        FALLBACK_BASE.chmod(0o755)
    info = FALLBACK_BASE.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise EngineError(f"{FALLBACK_BASE} should be a folder that only root can write. Remove it, or restrict it.")
    return FALLBACK_BASE


def _make_fallback(home: Path) -> None:
    trusted_base()
    try:
        home.mkdir(mode=0o700)
    except FileExistsError:
        return
    home.chmod(0o711)


def _usable(home: Path, names: list[str], identity: Identity) -> bool:
    for name in names:
        _make_engine_folder(home / name, identity)
    return all(identity.may_use(home / name) for name in names)


def _make_engine_folder(path: Path, identity: Identity) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        info = path.lstat()
        unfinished = info.st_uid == os.geteuid() and stat.S_ISDIR(info.st_mode) and not any(path.iterdir())
        if not unfinished:
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != identity.uid:
                raise EngineError(
                    f"{path} belongs to the user {owner_name(path)}, but the databases run as {identity.name}. "
                    "Run the hub as the same user as before, or set EXAI_DATA_DIR to another folder."
                ) from None
            return
    identity.give(path)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty, or never made
        folder.rmdir()
