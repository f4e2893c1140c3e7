"""Server-sent events as vendors send them: the `data:` lines of a byte stream, however it is cut."""

from collections.abc import Iterator

LONGEST_LINE = 8 * 1024 * 1024  # bytes; a vendor that sends more without a line end sends no events


class LineTooLong(Exception):
    pass


class EventLines:
    """Takes pieces of bytes, gives the payloads of the `data:` lines that are complete."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        first, *others = piece.split(b"\n")
        self._rest += first  # in place: a long line may come in many small pieces
        lines: list[bytes] = []
        if others:
            lines = [bytes(self._rest), *others[:-1]]
            self._rest = bytearray(others[-1])
        if len(self._rest) > LONGEST_LINE:
            raise LineTooLong
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()

    def end(self) -> Iterator[bytes]:
        """The payload of a last line whose end did not come."""
        return self.feed(b"\n")
