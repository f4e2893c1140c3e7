"""The key that signs sessions, made once and kept in the data directory."""

import secrets

from exai.embedded.private_file import write_privately
from exai.settings.server import ServerSettings
from exai.supervisor.exit_codes import PREPARATION, HubError

_SHORTEST = 32


def ensure_secret_key(server: ServerSettings) -> None:
    """Makes the key unless there is one, or one is configured. Raises `HubError`.

    Not to be called twice at once: each would make a key. The supervisor holds the data directory's lock.
    """
    if server.secret_key is not None:
        return
    path = server.secret_key_file
    try:
        if not path.exists():
            write_privately(path, secrets.token_urlsafe(48))
        elif len(path.read_text().strip()) < _SHORTEST:
            raise HubError(
                f"{path} is damaged. Delete it: a new key is made, and everybody signs in again.", PREPARATION
            )
    except OSError as error:
        raise HubError(f"{path}: {error.strerror}", PREPARATION) from None
