"""The process that reads one file, as the hub sees it: started, asked, heard out within bounds, and ended."""

import asyncio
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import msgspec

from exai.extraction.exchange import Reply, Request
from exai.extraction.limits import Limits

_PROJECT_DIR = Path(__file__).resolve().parents[2]
# Isolated from the folder it starts in, from the user's packages and PYTHON… variables; it writes no bytecode.
_COMMAND = (sys.executable, "-I", "-B", "-X", "utf8", "-c")
_PROGRAM = f"import sys; sys.path.append({str(_PROJECT_DIR)!r}); from exai.extraction.__main__ import main; main()"
_BLOCK_BYTES = 65_536
_LONGEST_CHARACTER = 4  # bytes of UTF-8
_BASE64 = 4 / 3
_ROOM_FOR_THE_REST = 1024 * 1024  # bytes: escapes, and what stands beside the text


class ChildFailed(Exception):
    """No reply came. Its text is a sentence for whoever sent the file; `ending` is for the log."""

    def __init__(self, problem: str, ending: str) -> None:
        super().__init__(problem)
        self.ending = ending


async def read_in_child(request: Request) -> Reply:
    """Raises `ChildFailed`. The process is gone when this returns, also when it is cancelled."""
    limits = request.limits
    try:
        async with asyncio.timeout(limits.wall_seconds), _running(request.descriptor) as process:
            output = await _hear_out(process, request)
            status = await process.wait()
    except TimeoutError:
        raise ChildFailed(f"It takes more than {limits.wall_seconds:g} s to read.", "too slow") from None
    try:
        return msgspec.json.decode(output, type=Reply)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _without_reply(status, limits) from None


@asynccontextmanager
async def _running(descriptor: int) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        _PROGRAM,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,  # what libraries print may hold the file's content
        pass_fds=(descriptor,),
        env={},
        cwd="/",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    output = cast(StreamReader, process.stdout)
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # To the end of the pipe, which only then is closed; what is left in it is little.
    while await output.read(_BLOCK_BYTES):
        pass
    await process.wait()


async def _hear_out(process: Process, request: Request) -> bytes:
    asking, answering = cast(StreamWriter, process.stdin), cast(StreamReader, process.stdout)
    asking.write(msgspec.json.encode(request))
    asking.close()
    most = _most_bytes(request.limits)
    output = bytearray()
    while block := await answering.read(_BLOCK_BYTES):
        output += block
        if len(output) > most:
            raise ChildFailed("It is damaged: reading it failed.", f"more than {most} bytes of reply")
    return bytes(output)


def _most_bytes(limits: Limits) -> int:
    return int(limits.characters * _LONGEST_CHARACTER + limits.image_bytes * _BASE64) + _ROOM_FOR_THE_REST


def _without_reply(status: int, limits: Limits) -> ChildFailed:
    if status in {-signal.SIGKILL, -signal.SIGXCPU}:  # as the limit of processor time, and the system out of memory
        return ChildFailed(f"It takes more than {limits.cpu_seconds} s or more memory to read than it may.", "killed")
    return ChildFailed("It broke the program that reads such files: it may be damaged.", f"exit status {status}")
