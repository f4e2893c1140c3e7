"""The engines' passwords: made once, kept in a file of mode 0600 in the data directory."""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from exai.embedded.errors import EngineError
from exai.embedded.private_file import write_privately

_FILE = "engines.passwords"


@dataclass(frozen=True)
class Passwords:
    """Letters, digits, `-` and `_` only: they need no quoting in URLs and SQL."""

    superuser: str = field(repr=False)
    role: str = field(repr=False)
    valkey: str = field(repr=False)
    just_made: bool = False

    def conceal(self, text: str) -> str:
        for secret in (self.superuser, self.role, self.valkey):
            text = text.replace(secret, "********")
        return text


def kept_passwords(data_dir: Path) -> Passwords:
    path = data_dir / _FILE
    try:
        kept = json.loads(path.read_text())
        return Passwords(superuser=kept["superuser"], role=kept["role"], valkey=kept["valkey"])
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        raise EngineError(
            f"{path} does not hold the engines' passwords. Put its backup in place, or remove it: new ones are made."
        ) from None
    made = {name: secrets.token_urlsafe(32) for name in ("superuser", "role", "valkey")}
    write_privately(path, json.dumps(made) + "\n")
    return Passwords(**made, just_made=True)
