"""The text that a reader gathers piece by piece, so that what was read stays when reading has to stop."""

from exai.extraction.extracted import Extracted, clean
from exai.extraction.limits import Limits


class Unreadable(Exception):
    """Why a file cannot be read, as a sentence for whoever sent it."""


class Full(Exception):
    """There is as much text as may be."""


class Gathered:
    """`unit` is what parts of such a file are called, as in "pages"; `total` how many there are, 0 while unknown."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.unit = ""
        self.total = 0
        self.done = 0
        self.image = ""
        self.note = ""
        self.cut = False
        self.broken_off = False  # in the middle of a part
        self._pieces: list[str] = []
        self._room = limits.characters

    def add(self, piece: str) -> None:
        """Raises `Full` when the piece does not fit, after as much of it as does."""
        text = clean(piece)
        self._pieces.append(text[: self._room])
        self._room -= len(text)
        if self._room < 0:
            raise Full

    def part_done(self) -> bool:
        """Whether another part may be read."""
        self.done += 1
        self.cut = self.cut or self.limits.pages <= self.done < self.total
        return self.done < self.limits.pages

    def extracted(self, problem: str = "") -> Extracted:
        """`problem`: why reading stopped early."""
        text = "".join(self._pieces)
        return Extracted(
            text=text,
            image=self.image,
            parts=self._parts(text),
            cut=self.cut or bool(problem and text),
            problem=problem,
        )

    def _parts(self, text: str) -> str:
        read = ""
        if text and self.unit:
            if self.done:
                read = f"{self.unit} 1-{self.done:,} of {self.total:,}"
                read += " and a part of the next" if self.broken_off and self.done < self.total else ""
            else:
                read = f"a part of the first of {self.total:,} {self.unit}" if self.total > 1 else "a part"
        elif text and (self.cut or self.broken_off):
            read = f"the first {len(text):,} characters"
        return "; ".join(part for part in (read, self.note) if part)
