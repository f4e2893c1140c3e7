"""Small files that only their owner reads, written whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_privately(path: Path, text: str) -> None:
    """Mode 0600 from the first moment, whatever the umask; a reader sees the old text or the new."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
