"""A model's text made fit to store and to send: PostgreSQL takes no NUL, and UTF-8 no lone surrogate."""

import re

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class AnswerText:
    """Cleans the pieces of one answer. A surrogate pair that a vendor cut in two comes out whole."""

    def __init__(self) -> None:
        self._held_back = ""

    def clean(self, piece: str) -> str:
        text = self._held_back + piece
        self._held_back = ""
        if "\x00" in text:
            text = text.replace("\x00", "\ufffd")
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held_back = text[:-1], text[-1]
        if not text.isascii() and _LONE_SURROGATE.search(text):
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text

    def rest(self) -> str:
        """What was held back for a second half that never came."""
        held, self._held_back = self._held_back, ""
        return "\ufffd" if held else ""


def cleaned(text: str) -> str:
    """A whole text, cleaned."""
    cleaner = AnswerText()
    return cleaner.clean(text) + cleaner.rest()
