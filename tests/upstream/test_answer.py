"""How an answer is cut into writes."""

from tests.upstream.answer import awkward_parts


def test_awkward_parts_end_inside_characters_and_lines() -> None:
    data = "data: é\r\n\r\ndata: 🙂\n\n".encode()
    parts = awkward_parts(data)
    assert b"".join(parts) == data
    assert {part[-1:] for part in parts} >= {b"\r", "é".encode()[:1], "🙂".encode()[:1], b"t"}
