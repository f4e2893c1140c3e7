"""Line numbers, as a model sees them beside code."""

import io
import time

_PIECE_CHARACTERS = 65_536


def numbered(text: str) -> str:
    """Each line after its number: `  12│ return x`. Lines end at \\n alone, so numbers are those of an editor.

    Belongs in a thread where the text is large; it lets the other threads in every millisecond or two.
    """
    if not text:
        return ""
    whole = text.removesuffix("\n")
    width = max(4, len(str(whole.count("\n") + 1)))
    lines = io.StringIO(whole, newline="\n")
    pieces = []
    number = 1
    while piece := lines.readlines(_PIECE_CHARACTERS):
        pieces.append("".join([f"{at:>{width}}│ {line}" for at, line in enumerate(piece, number)]))
        number += len(piece)
        time.sleep(0)
    if not whole or whole.endswith("\n"):
        pieces.append(f"{number:>{width}}│ ")  # an empty line, of which there is nothing to read
    return "".join(pieces)
