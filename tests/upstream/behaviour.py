"""What a test can ask of the upstream, and what the upstream remembers: shared by the server and its handle."""

from typing import Any

import msgspec

STEADY_MODEL = "steady"  # listed without having been asked for


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens as the vendor counts them; `cached` is a part of `prompt`, `reasoning` a part of `completion`."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function call that the model wishes for; `arguments` is JSON."""

    id: str
    name: str
    arguments: str


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How requests that name a model are answered. Only one of the `…_after_chunks` and `fail_in_stream` at a time.

    Chunks are those of the answer's text; those of `reasoning` come before them and are not counted.
    """

    text: str | None = None
    """The answer; by default «You said: » and the last user message."""
    chunks: int = 4
    """The SSE events that the text is cut into."""
    reasoning: str | None = None
    """Sent as `reasoning_content` before the text."""
    calls: tuple[Call, ...] = ()
    """Function calls after the text, which is empty then unless given; the reason to end is `tool_calls`."""
    call_fragments: int = 3
    """The SSE events that the arguments of each call are cut into."""
    searches: int = 0
    """So many rounds of Kimi's: where the tool is offered, the model calls `$web_search` instead of answering, and
    goes on only when its arguments come back as they were."""
    search_text: str = ""
    """What the model writes before each such call."""
    sources: tuple[dict[str, Any], ...] = ()
    """GLM's pages, as `web_search` beside the answer where the tool is offered, and of `POST /web_search`."""
    answer_headers: dict[str, str] = {}
    """Headers of a chat answer beside the usual ones."""
    finish_reason: str = "stop"
    usage: Usage | None = None
    """By default a quarter of the characters, both ways."""
    no_usage: bool = False

    delay_s: float = 0
    """Seconds before the first byte, of an error too."""
    chunk_delay_s: float = 0
    """Seconds before each chunk but the first."""
    after_finish_s: float | None = None
    """Seconds between the event that tells the reason to end and those of usage and end."""

    status: int = 200
    """Another one than 200 is answered instead of the text."""
    error_body: dict[str, Any] | str | None = None
    """Body of such an answer: an object is sent as JSON, text as it is; by default an OpenAI error object."""
    retry_after: float | str | None = None
    """`Retry-After` of such an answer: seconds, or an HTTP date."""
    first_failures: int | None = None
    """Only so many requests get `status` (500 unless given), counted from `behave`; the later ones are answered."""

    stall_after_chunks: int | None = None
    """Silence after so many chunks, until the client goes away."""
    break_after_chunks: int | None = None
    """The connection is closed after so many chunks, the answer unfinished."""
    reset: bool = False
    """That close is a TCP reset, not an orderly end of the connection."""
    garbage_after_chunks: int | None = None
    """Bytes that are neither JSON, SSE nor UTF-8 after so many chunks, and then the end without `[DONE]`."""
    fail_in_stream: str | None = None
    """Message of an error event after the first chunk; it ends the stream."""

    ignore_stream: bool = False
    """Plain JSON although a stream was asked for."""
    split_utf8: bool = False
    """Writes end inside multi-byte characters, inside lines, and between `\\r` and `\\n`."""
    comments: bool = False
    """SSE comments between the events, and `\\r\\n` at the ends of lines."""


class RecordedRequest(msgspec.Struct, frozen=True):
    """A request as it came in. Header names are lower-case; of a repeated header the last one counts.

    `model` is what names the behaviour: the model of a chat, and the bearer's key of files and searches.
    """

    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    raw: bytes
    model: str | None
    received_at: float
    """Epoch seconds, when the whole body had been read."""

    @property
    def body(self) -> Any:
        """The parsed JSON; None when nothing was sent. Raises `msgspec.DecodeError` when it is not JSON."""
        return msgspec.json.decode(self.raw) if self.raw else None
