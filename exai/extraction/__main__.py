"""The process that reads one file: a JSON request on stdin, a JSON reply on stdout.

It is started by `runner` with an empty environment, and trusts neither the file nor the libraries that read it.
"""

import logging
import os
import sys

import msgspec

from exai.extraction.confinement import confine
from exai.extraction.exchange import Request
from exai.extraction.reading import read


def main() -> None:
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    logging.disable()  # libraries' warnings, one a broken object
    confine(request.limits)
    with os.fdopen(request.descriptor, "rb") as file:
        file.seek(0)
        reply = read(file, request)
    sys.stdout.buffer.write(msgspec.json.encode(reply))
    sys.stdout.buffer.flush()
    # Nothing is left to tidy, and a large document would take its time at it.
    os._exit(0)


if __name__ == "__main__":
    main()
