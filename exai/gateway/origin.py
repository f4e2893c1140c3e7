"""Which web pages may open a WebSocket: the hub's own, and none other."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.http.request import split_domain_port, validate_host

_DEFAULT_PORTS = {"http": "80", "https": "443"}


def origin_allowed(headers: Iterable[tuple[bytes, bytes]], accepted_hosts: list[str]) -> bool:
    """Whether a handshake with these headers may go on.

    One without Origin comes from no browser and passes. With one, it must name the host that the request was sent to,
    which must be a host that the hub answers for (so that a page cannot pass by pointing its own name here).
    """
    values: dict[bytes, str] = {name.lower(): value.decode("latin-1") for name, value in headers}
    origin = values.get(b"origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
        port = str(parts.port or _DEFAULT_PORTS.get(parts.scheme, ""))
    except ValueError:
        return False
    host, host_port = split_domain_port(values.get(b"host", ""))
    same_port = (host_port or _DEFAULT_PORTS.get(parts.scheme, "")) == port
    hostname = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return hostname == host and same_port and validate_host(host, accepted_hosts)
