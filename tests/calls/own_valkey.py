"""A Valkey that a test may kill, stop and start again."""

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import redis

from exai.embedded.engines import Engines, start_engines
from exai.settings.hub import parse


class OwnValkey:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self.url = engines.environment()["REDIS_URL"]
        self.password = self.url.split(":")[2].split("@")[0]
        self.socket_path = self.url.split("@")[1].split("?")[0]
        self._process = self._find_process()

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(5)

    def start_again(self) -> None:
        """It answers when this returns."""
        deadline = time.monotonic() + 20
        with self.client() as client:
            while True:
                self._engines.revive()  # an engine that died often is not started at once
                with suppress(redis.ConnectionError):
                    client.ping()
                    break
                assert time.monotonic() < deadline, "it does not start again"
                time.sleep(0.02)
        self._process = self._find_process()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(signal.SIGCONT)

    def _find_process(self) -> psutil.Process:
        with self.client() as client:
            info = client.info("server")
        assert isinstance(info, dict)
        return psutil.Process(int(info["process_id"]))


@contextmanager
def own_valkey() -> Iterator[OwnValkey]:
    with tempfile.TemporaryDirectory(prefix="exai-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)  # under root the engine runs as another user
        settings = parse({"EXAI_DATA_DIR": f"{folder}/data", "DATABASE_URL": "postgresql://elsewhere/exai"})
        with start_engines(settings) as engines:
            valkey = OwnValkey(engines)
            try:
                yield valkey
            finally:
                valkey.thaw()
