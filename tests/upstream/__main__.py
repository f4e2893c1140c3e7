"""`python -m tests.upstream --port 0`: serves until its standard input ends, so it never outlives who started it."""

import argparse
import asyncio
import sys
import threading

import uvloop

from tests.upstream.server import serving


async def _main(port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait_for_the_end() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    async with serving(port) as bound:
        print(f"listening on http://127.0.0.1:{bound}", flush=True)
        threading.Thread(target=wait_for_the_end, daemon=True).start()
        await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    uvloop.run(_main(parser.parse_args().port))
