"""What the first run makes, as it travels from `manage.py prepare` to the supervisor: through a pipe, as JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Credential:
    name: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Prepared:
    """What was made, and nobody was told yet."""

    admin: Credential | None = None
    client: Credential | None = None

    def __bool__(self) -> bool:
        return bool(self.admin or self.client)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, parsed: dict[str, Any]) -> "Prepared":
        return cls(*(Credential(**parsed[kind]) if parsed.get(kind) else None for kind in ("admin", "client")))


def untold_file(data_dir: Path) -> Path:
    """Holds which accounts nobody was told of yet (no secret): a hub that dies before telling makes up for it."""
    return data_dir / "untold.json"
