"""PostgreSQL on a unix socket: the cluster made at the first start, and how it is run."""

import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from exai.embedded.engine import Engine
from exai.embedded.errors import EngineError

_MAJOR_VERSION = "18"
_FIRST_START_SECONDS = 60.0
# Written into postgresql.conf of a new cluster, where an operator may change them.
_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "io_method": "sync",  # workers would cost three processes
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# One file a weekday, emptied when its day comes again.
_LOG_SETTINGS = {
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_file_mode": "0600",
}
# Statements and failing rows hold what users said: they do not go into the log.
_DISCREET = {"log_min_error_statement": "panic", "log_error_verbosity": "terse"}


class Postgres(Engine):
    title = "PostgreSQL"
    variable = "DATABASE_URL"
    folder_name = "postgres"
    program = "postgres"
    # Fast shutdown, then immediate: the next start recovers.
    stop_signals = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

    @property
    def url(self) -> str:
        return f"postgresql://exai:{self.around.passwords.role}@/exai?host={quote(str(self.around.socket_dir))}"

    @property
    def socket_path(self) -> Path:
        return self.around.socket_dir / ".s.PGSQL.5432"

    @property
    def data_folder(self) -> Path:
        return self.folder / "data"

    @property
    def pid_file(self) -> Path:
        return self.data_folder / "postmaster.pid"

    @property
    def log_file(self) -> Path | None:
        logs = list((self.data_folder / "log").glob("*.log"))
        return max(logs, key=lambda path: path.stat().st_mtime, default=None)

    @property
    def cluster_name(self) -> str:
        """Begins the title of every PostgreSQL process of this data directory."""
        return "exai-" + hashlib.sha256(os.fsencode(self.data_folder)).hexdigest()[:12]

    def prepare(self) -> None:
        for unfinished in self.folder.glob("new-*"):
            self._abandon(unfinished)
        if not self.data_folder.exists():
            self._make_cluster()
            return
        self._check_version()
        self._clear_remains()
        if self.around.passwords.just_made:
            # Somebody removed the file that held them.
            self._run_single_user(self.data_folder, self._password_statements("ALTER"))

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.around.socket_dir),
            "unix_socket_permissions": "0700",
            "port": "5432",
            "cluster_name": self.cluster_name,
            "log_min_error_statement": "panic",
            **_LOG_SETTINGS,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.around.binaries.postgres), "-D", str(self.data_folder), *options]

    def greets(self, connection: socket.socket) -> bool:
        """Send a start-up message; it is asked for a password once sessions are accepted, refused before."""
        parameters = b"user\0exai\0database\0exai\0\0"
        connection.sendall(struct.pack("!ii", len(parameters) + 8, 3 << 16) + parameters)
        return connection.recv(256)[:1] == b"R"  # unread bytes would make it log a broken connection

    def _check_version(self) -> None:
        try:
            version = (self.data_folder / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EngineError(
                f"{self.data_folder} holds no database. Put its backup in place, or remove it: a new one is made."
            ) from None
        if version != _MAJOR_VERSION:
            raise EngineError(
                f"The database in {self.data_folder} was made by PostgreSQL {version}; this version of the hub brings "
                f"{_MAJOR_VERSION}. Dump it with the version that made it, or set DATABASE_URL to such a server."
            )

    def _clear_remains(self) -> None:
        """What a killed PostgreSQL leaves: sessions without a master, and lock files whose pid may be reused since."""
        self.socket_path.unlink(missing_ok=True)
        self.socket_path.with_name(self.socket_path.name + ".lock").unlink(missing_ok=True)
        if not self.pid_file.exists():
            return
        from exai.embedded.found import end_remnants, pid_in_use

        # What they had not committed is lost already.
        title = f"postgres: {self.cluster_name}: "
        end_remnants(self.around.identity.uid, lambda command: " ".join(command).startswith(title))
        if pid_in_use(self.pid_file):
            self.pid_file.unlink()  # else PostgreSQL checks by its content whether its shared memory is in use

    def _abandon(self, unfinished: Path) -> None:
        """Remove the cluster of an interrupted first start, whose initdb may still be writing."""
        from exai.embedded.found import end_remnants

        data = str(unfinished / "data")
        end_remnants(
            self.around.identity.uid,
            lambda command: data in command[1:] and Path(command[0]).name in ("initdb", "postgres"),
        )
        shutil.rmtree(unfinished, ignore_errors=True)

    def _make_cluster(self) -> None:
        """Complete beside its place, then moved there: an interrupted first start leaves no half cluster."""
        identity, passwords = self.around.identity, self.around.passwords
        work = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder))
        identity.give(work)
        try:
            password_file, data = work / "password", work / "data"
            descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                identity.give(file.fileno())
                file.write(passwords.superuser + "\n")
            settings = [part for name, value in _SETTINGS.items() for part in ("--set", f"{name}={value}")]
            command = [
                *(str(self.around.binaries.initdb), "-D", str(data), "--username=postgres", "--auth=scram-sha-256"),
                *(f"--pwfile={password_file}", "--encoding=UTF8", "--data-checksums", "--no-instructions"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", *settings),
            ]
            self._run("initdb", command)
            password_file.unlink()
            discreet = [f"ALTER ROLE exai SET {name} = '{value}'" for name, value in _DISCREET.items()]
            statements = [*self._password_statements("CREATE"), *discreet, "CREATE DATABASE exai OWNER exai"]
            self._run_single_user(data, statements)
            data.rename(self.data_folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _password_statements(self, verb: str) -> list[str]:
        passwords = self.around.passwords
        return [
            f"{verb} ROLE exai LOGIN CREATEDB CREATEROLE PASSWORD '{passwords.role}'",
            f"ALTER ROLE postgres PASSWORD '{passwords.superuser}'",
        ]

    def _run_single_user(self, data: Path, statements: list[str]) -> None:
        """As superuser, before anybody can connect; the statements go by standard input, as they hold passwords."""
        settings = ["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", "-c", "logging_collector=off"]
        command = [str(self.around.binaries.postgres), "--single", "-D", str(data), *settings, "postgres"]
        self._run("postgres --single", command, "".join(f"{statement};\n" for statement in statements))

    def _run(self, name: str, command: list[str], text: str = "") -> None:
        with tempfile.TemporaryFile() as output:
            self._output = output
            try:
                status = self._finish(self.around.identity.spawn(command, stdin=subprocess.PIPE, output=output), text)
                if status is None:
                    raise self.failure(f"{name} did not finish in {_FIRST_START_SECONDS:.0f} s.")
                if status != 0:
                    raise self.failure(f"The database could not be made: {name} ended with status {status}.")
            finally:
                self._output = None

    def _finish(self, process: subprocess.Popen[bytes], text: str) -> int | None:
        """The exit status; none when it had to be killed."""
        try:
            process.communicate(text.encode(), timeout=_FIRST_START_SECONDS)
            return process.returncode
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:  # Ctrl-C, too
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
