"""The one listening socket, opened here and inherited by every web process.

It listens from the start: what connects while a web process is restarted waits, and is not refused.
"""

import errno
import socket

from exai.supervisor.exit_codes import CONFIGURATION, OCCUPIED, HubError

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; `host` is a name, an IPv4 or an IPv6 address, with or without brackets.

    Raises `HubError` with what to change.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise HubError(f"EXAI_HOST={host}: no address is known by that name", CONFIGURATION) from None
    listener = socket.socket(family, kind, protocol)
    try:
        # Connections of the last run that are still closing must not keep the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _explain(error, host, port) from None
    listener.setblocking(False)
    return listener


def _explain(error: OSError, host: str, port: int) -> HubError:
    if error.errno == errno.EADDRINUSE:
        return HubError(
            f"Port {port} of {host} is in use by another program. "
            f"Stop that one, or set EXAI_PORT to a free port (it is {port}).",
            OCCUPIED,
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return HubError(f"EXAI_HOST={host} is not an address of this machine.", OCCUPIED)
    if error.errno == errno.EACCES:
        return HubError(f"This user may not listen on port {port}; set EXAI_PORT to one above 1023.", OCCUPIED)
    return HubError(f"Cannot listen on {host}, port {port}: {error.strerror}. See EXAI_HOST and EXAI_PORT.", OCCUPIED)
