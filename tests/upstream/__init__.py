"""A real HTTP server on loopback that behaves like an OpenAI-compatible vendor, as well or as badly as it is told."""

from tests.upstream.behaviour import Behaviour, RecordedRequest, Usage
from tests.upstream.handle import Upstream

__all__ = ["Behaviour", "RecordedRequest", "Upstream", "Usage"]
