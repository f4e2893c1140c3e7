"""Line numbers, as a model sees them beside code."""


def numbered(text: str) -> str:
    """Each line after its number: `  12│ return x`. Lines end at \\n alone, so numbers are those of an editor."""
    if not text:
        return ""
    lines = text.removesuffix("\n").split("\n")
    width = max(4, len(str(len(lines))))
    return "\n".join([f"{number:>{width}}│ {line}" for number, line in enumerate(lines, 1)])
