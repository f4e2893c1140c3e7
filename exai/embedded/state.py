"""What one process must know about the engines that another one started."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from exai.embedded.private_file import write_privately

_FILE = "engines.json"


@dataclass
class State:
    data_dir: str
    """Where the file was written: a copied data directory must not take the original's engines for its own."""
    home: str | None = None
    """Folder of the engines' folders: the data directory, or the place it fell back to."""
    socket_dir: str | None = None
    """Set before the engines start, unset once they are stopped."""
    system: str = ""
    """Boot and process namespace in which the engines were started: pids mean nothing elsewhere."""

    @classmethod
    def load(cls, data_dir: Path) -> Self:
        fresh = cls(data_dir=str(data_dir))
        try:
            kept = json.loads((data_dir / _FILE).read_text())
            state = cls(**{name: kept.get(name, default) for name, default in asdict(fresh).items()})
        except (FileNotFoundError, ValueError, AttributeError):
            return fresh
        if state.data_dir != fresh.data_dir:
            if not state.data_dir or (Path(state.data_dir) / _FILE).exists():
                return fresh  # a copy
            if state.home == state.data_dir:  # moved, with all that is in it
                state.home = fresh.data_dir
            state.data_dir = fresh.data_dir
        return state

    def save(self) -> None:
        write_privately(Path(self.data_dir) / _FILE, json.dumps(asdict(self)) + "\n")


def this_system() -> str:
    """Changes with every boot and differs between containers; empty where the system does not tell (macOS)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""
