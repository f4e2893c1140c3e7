"""Uses the engines of a data directory in a process of its own, until its standard input closes.

    python -m tests.embedded.holder DATA_DIR

Prints one line of JSON once they answer: their environment and the notices; or {"error": …}.
"""

import json
import sys

from exai.embedded.engines import EngineError, start_engines
from exai.settings.hub import parse


def main() -> int:
    try:
        engines = start_engines(parse({"EXAI_DATA_DIR": sys.argv[1]}))
    except EngineError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    print(json.dumps({"environment": engines.environment(), "notices": engines.notices}), flush=True)
    sys.stdin.read()
    engines.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
