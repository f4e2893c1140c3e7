"""The operating-system user of the engines, and how processes are started as that user.

PostgreSQL refuses to run as root, so a hub that runs as root lends its engines to an unprivileged user.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from exai.embedded.errors import EngineError

# Nothing of the hub's environment, which holds its secrets. PostgreSQL on macOS needs a valid locale.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Identity:
    name: str
    uid: int
    gid: int
    borrowed: bool
    """Whether it is another user than this process's; only root can borrow one."""

    def give(self, path: Path | int) -> None:
        """Make a file or folder of ours, by path or descriptor, this user's."""
        if not self.borrowed:
            return
        if isinstance(path, int):
            os.fchown(path, self.uid, self.gid)
        else:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def spawn(self, command: list[str], *, stdin: int, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start a process of this user: own session (a terminal's Ctrl-C is not for it), none of our environment."""
        try:
            return subprocess.Popen(
                command,
                cwd="/",  # the folder we stand in may be closed to that user
                env=_ENVIRONMENT,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                user=self.uid if self.borrowed else None,
                group=self.gid if self.borrowed else None,
                extra_groups=[] if self.borrowed else None,
            )
        except OSError as error:
            raise EngineError(
                f"{command[0]} could not be started as user {self.name}: {error.strerror}. "
                "Run the hub as an ordinary user, or set DATABASE_URL and REDIS_URL to servers of your own."
            ) from error

    def succeeds(self, command: list[str]) -> bool:
        """Whether the command, run as this user, exits with 0 within ten seconds."""
        try:
            process = self.spawn(command, stdin=subprocess.DEVNULL, output=subprocess.DEVNULL)
        except EngineError:
            return False
        try:
            return process.wait(10) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()
            process.wait()

    def require(self) -> None:
        """Raise `EngineError` if processes cannot be started as this user, as in a container without CAP_SETUID."""
        self.spawn(["/bin/sh", "-c", ":"], stdin=subprocess.DEVNULL, output=subprocess.DEVNULL).wait()

    def may_use(self, folder: Path) -> bool:
        """Whether this user can enter the folder and write into it: tried, not reasoned from mode bits."""
        if not self.borrowed:
            return os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        return self.succeeds(["/bin/sh", "-c", 'cd "$1" && test -r . && test -w .', "sh", str(folder)])


def engine_identity() -> Identity:
    uid = os.geteuid()
    if uid != 0:
        return Identity(name=_name(uid), uid=uid, gid=os.getegid(), borrowed=False)
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if user.pw_uid != 0:
            return Identity(name=name, uid=user.pw_uid, gid=user.pw_gid, borrowed=True)
    raise EngineError(
        "PostgreSQL does not run as root, and this system has neither a user «postgres» nor «nobody» to run it as. "
        "Run the hub as an ordinary user, or set DATABASE_URL and REDIS_URL to servers of your own."
    )


def owner_name(path: Path) -> str:
    return _name(path.lstat().st_uid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # usual in containers
        return str(uid)
