"""Where a connection comes from, also behind proxies."""

import ipaddress
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(
    peer: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]], trusted_proxies: Sequence[Network]
) -> str:
    """The address of the client; empty for one that has none (a unix socket).

    `X-Forwarded-For` counts only as far as trusted proxies wrote it: read from its end, the first address that is not
    one of theirs is the client's.
    """
    if not peer or not peer[0]:
        return ""
    address = peer[0]
    forwarded = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"]
    hops = [hop.strip() for hop in ",".join(forwarded).split(",") if hop.strip()]
    while hops and _is_within(address, trusted_proxies):
        hop = _without_port(hops.pop())
        if _parsed(hop) is None:
            break
        address = hop
    return address


def _without_port(hop: str) -> str:
    """Some proxies write the port, too: `192.0.2.1:5678`, `[2001:db8::1]:5678`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def is_loopback(address: str) -> bool:
    parsed = _parsed(address)
    return parsed is None or parsed.is_loopback


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
