"""How many calls and frames are let in, from the settings and the client's own."""

import msgspec

from exai.settings.gateway import GatewaySettings


class Bucket(msgspec.Struct, frozen=True):
    """A token bucket: a frame takes a token. `refill` in tokens a second."""

    key: str
    capacity: float
    refill: float


class Slot(msgspec.Struct, frozen=True):
    """One of at most `most` places that are counted under `key`."""

    key: str
    most: int


def frame_buckets(
    settings: GatewaySettings, *, address: str, session: str, client_refill: int | None
) -> tuple[Bucket, ...]:
    """The buckets that a frame of a session takes from. `address` empty: loopback, which is exempt.

    `client_refill`: the client's own rate; its bucket then grows in the same proportion.
    """
    refill, capacity = settings.rate_limit_user_refill_rate, float(settings.rate_limit_user_capacity)
    if client_refill:
        refill, capacity = client_refill, capacity * client_refill / refill
    buckets = [
        Bucket("exai:tokens:all", settings.rate_limit_global_capacity, settings.rate_limit_global_refill_rate),
        Bucket(f"exai:tokens:session:{session}", capacity, refill),
    ]
    if address:
        key = f"exai:tokens:address:{address}"
        buckets.append(Bucket(key, settings.rate_limit_ip_capacity, settings.rate_limit_ip_refill_rate))
    return tuple(buckets)
