"""How much is measured."""

from typing import NamedTuple


class Plan(NamedTuple):
    """Sizes of the phases of a round; times in seconds."""

    name: str
    rounds: int
    blocks: int
    """Of the alternation between the hub and the upstream, at one connection. Short ones: what else the machine does
    then falls on both alike."""
    calls_in_block: int
    slices: int
    """Of the load at saturation and at half of capacity; they alternate likewise."""
    connections: int
    """At saturation."""
    saturated_s: float
    open_s: float
    idle_connections: int
    connected: int
    """Of which one in five has a call under way."""
    streamed_in_block: int
    listings: int
    upload_bytes: int
    first_long_call_s: float
    """In the first round; the call during which `version` is asked."""
    long_call_s: float
    """In the other rounds."""
    messages: int
    """Among which is paged and searched."""


FULL = Plan(
    name="full",
    rounds=5,
    blocks=8,
    calls_in_block=50,
    slices=6,
    connections=24,
    saturated_s=3,
    open_s=4,
    idle_connections=300,
    connected=1000,
    streamed_in_block=6,
    listings=100,
    upload_bytes=100_000_000,
    first_long_call_s=9,
    long_call_s=2,
    messages=1_000_000,
)
QUICK = FULL._replace(
    name="quick",
    rounds=2,
    blocks=4,
    slices=3,
    saturated_s=1.5,
    open_s=2,
    first_long_call_s=2,
    long_call_s=1,
    messages=20_000,
)
# Shows that everything is measured; its figures mean nothing.
TINY = FULL._replace(
    name="tiny",
    rounds=1,
    blocks=1,
    calls_in_block=5,
    slices=1,
    connections=2,
    saturated_s=0.2,
    open_s=0.2,
    idle_connections=5,
    connected=10,
    streamed_in_block=2,
    listings=2,
    upload_bytes=5_000_000,
    first_long_call_s=0.3,
    long_call_s=0.3,
    messages=3_000,
)
