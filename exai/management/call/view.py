"""What a person at a terminal sees of a call: the answer on standard output, all about it on standard error."""

import json
import os
import sys
import time
from typing import Any

from exai.management.terminal import fit_for

_CLEAR_LINE = "\r\033[2K"
_MOST_COLUMNS = 79


class CallView:
    """Chunks are written as they come; while there are none, one line on the terminal tells what is going on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._stage = "Connecting"
        self._progress_shown = False
        self._streamed = False
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def on_frame(self, frame: dict[str, Any]) -> None:
        if frame["op"] == "progress":
            self._stage = frame.get("message") or self._stage
            self.tick()
        elif frame["op"] == "stream_chunk":
            self._clear()
            self._streamed = True
            sys.stdout.write(fit_for(sys.stdout, frame["chunk"]))
            sys.stdout.flush()

    def tick(self) -> None:
        """Brings the progress line up to date."""
        if self._live and not self._streamed:
            line = f"{self._stage} · {time.monotonic() - self._started:.0f} s"[:_MOST_COLUMNS]
            sys.stderr.write(_CLEAR_LINE + fit_for(sys.stderr, line))
            sys.stderr.flush()
            self._progress_shown = True

    def answer(self, frame: dict[str, Any]) -> None:
        """The result of a call that succeeded."""
        self._clear()
        output = frame["outputs"][0]
        envelope = json.loads(output["text"])
        if "content_type" not in envelope:  # a tool about the hub answers its own JSON
            print(json.dumps(envelope, indent=2, ensure_ascii=False))
            return
        print("" if self._streamed else fit_for(sys.stdout, envelope["content"]), flush=True)
        self._summary(envelope, output["metadata"])

    def failure(self, error: dict[str, Any]) -> None:
        self._clear()
        if self._streamed:
            print(flush=True)
        details = {name: value for name, value in (error.get("details") or {}).items() if name != "partial_text"}
        print(fit_for(sys.stderr, f"{error['code']}: {error['message']}"), file=sys.stderr)
        if details:
            shown = "  ".join(f"{name}: {value}" for name, value in details.items())
            print("  " + fit_for(sys.stderr, shown), file=sys.stderr)

    def _summary(self, envelope: dict[str, Any], metadata: dict[str, Any]) -> None:
        about, usage = envelope["metadata"], metadata.get("usage") or {}
        facts = [str(about["model_used"])] if about.get("model_used") else []
        if usage.get("input_tokens") is not None:
            facts.append(f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out")
        facts.append(f"{metadata['latency_metrics']['latency_ms'] / 1000:.1f} s")
        print(" · ".join(facts), file=sys.stderr)
        for file in about.get("files", ()):
            print(fit_for(sys.stderr, f"File {file['id']}: {file['name']}"), file=sys.stderr)
        if metadata.get("stored") is False:
            print("The answer could not be stored: this conversation cannot be continued.", file=sys.stderr)
        if offer := envelope["continuation_offer"]:
            turns = f"{offer['remaining_turns']} turns left"
            print(f"Go on with --continue {offer['continuation_id']} ({turns})", file=sys.stderr)

    def _clear(self) -> None:
        if self._progress_shown:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
            self._progress_shown = False
