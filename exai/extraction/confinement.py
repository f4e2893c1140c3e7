"""What the process that reads a file takes from itself before it opens it. https://man7.org/linux/man-pages/man2/setrlimit.2.html"""

import os
import resource
import signal
from types import FrameType

from exai.extraction.limits import Limits

_OPEN_FILES = 64
_NICENESS = 10
_SECONDS_TO_TELL = 2  # between being told that time is up and being killed
_BYTES_TO_TELL = 64 * 1024 * 1024  # beyond the memory for reading


class OutOfTime(BaseException):
    """No `Exception`: a library that catches all of those must not swallow it."""


def confine(limits: Limits) -> None:
    """From here on `OutOfTime` is raised, wherever the process is, when its time is up."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGXCPU, _out_of_time)
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, max(0.1, limits.wall_seconds * 0.9))
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + _SECONDS_TO_TELL)
    _limit(resource.RLIMIT_FSIZE, 0, 0)
    _limit(resource.RLIMIT_CORE, 0, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES, _OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, 0, 0)  # no further process; root alone is exempt
    _limit(resource.RLIMIT_AS, limits.address_space_bytes, limits.address_space_bytes + _BYTES_TO_TELL)


def _limit(kind: int, soft: int, hard: int) -> None:
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    try:
        resource.setrlimit(kind, (soft, hard))
    except ValueError:
        if kind != resource.RLIMIT_AS:  # macOS knows the address space's limit, but takes none
            raise


def reading_is_over() -> None:
    """`OutOfTime` is raised no more, and there is memory to tell what was read."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    _limit(resource.RLIMIT_AS, most, most)


def _out_of_time(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    raise OutOfTime
