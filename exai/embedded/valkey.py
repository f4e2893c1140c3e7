"""Valkey on a unix socket, with an append-only file."""

import signal
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from exai.embedded.engine import Engine

_LARGEST_LOG = 4 * 1024 * 1024


class Valkey(Engine):
    title = "Valkey"
    variable = "REDIS_URL"
    folder_name = "valkey"
    program = "valkey-server"
    stop_signals = ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0))

    @property
    def url(self) -> str:
        return f"unix://:{self.around.passwords.valkey}@{quote(str(self.socket_path))}?db=0"

    @property
    def socket_path(self) -> Path:
        return self.around.socket_dir / "valkey.sock"

    @property
    def data_folder(self) -> Path:
        return self.folder

    @property
    def pid_file(self) -> Path:
        return self.folder / "valkey.pid"

    @property
    def log_file(self) -> Path | None:
        path = self.folder / "valkey.log"
        return path if path.exists() else None

    def prepare(self) -> None:
        self.pid_file.unlink(missing_ok=True)
        self.tidy()

    def command(self) -> list[str]:
        options = {
            "dir": str(self.folder),  # first: the files below are relative to it
            "logfile": "valkey.log",
            "pidfile": "valkey.pid",
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "save": "",
            "daemonize": "no",
            "set-proc-title": "no",  # it is known by its command line
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [str(self.around.binaries.valkey), "-", *arguments]

    def standard_input(self) -> bytes:
        """The part of the configuration that the command line must not show; no file keeps it."""
        return f"requirepass {self.around.passwords.valkey}\n".encode()

    def greets(self, connection: socket.socket) -> bool:
        connection.sendall(f"AUTH {self.around.passwords.valkey}\r\nPING\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            part = connection.recv(256)
            if not part:
                return False
            answer += part
        return answer == b"+OK\r\n+PONG\r\n"

    def tidy(self) -> None:
        """Start a new log when it is large. Valkey opens it anew for every line."""
        log = self.folder / "valkey.log"
        with suppress(FileNotFoundError):
            if log.stat().st_size > _LARGEST_LOG:
                log.replace(self.folder / "valkey.log.1")
