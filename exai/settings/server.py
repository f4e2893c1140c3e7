"""Where the hub listens, what it is called from outside, and where it keeps its data."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, SecretStr, model_validator

from exai.settings.values import CommaSeparated, HttpUrl, Networks, Seconds

PROJECT_DIR = Path(__file__).resolve().parents[2]
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
# As Django's ALLOWED_HOSTS has them: a name, an address, `.example.com` with all below it, `*` for any.
_HOST_NAME = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("should be a name of the IANA time zone database, such as Europe/Zurich") from None
    return name


def below_project(path: Path) -> Path:
    """A relative path is taken from the project folder, wherever the hub is started."""
    try:
        return (PROJECT_DIR / path.expanduser()).absolute()
    except RuntimeError:
        raise ValueError("should be a path; the home folder that it names is not known") from None


def _without_brackets(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")


def _host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_HOST_NAME.fullmatch(name) for name in names):
        raise ValueError("should be host names separated by commas, without https:// and without ports")
    return names


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


class ServerSettings(BaseModel):
    host: Annotated[str, AfterValidator(_without_brackets)] = Field(
        "127.0.0.1",
        validation_alias=AliasChoices("EXAI_HOST", "EXAI_WS_HOST"),
        description="Address to listen on. Any but loopback needs `EXAI_ALLOWED_HOSTS` or `EXAI_PUBLIC_URL`.",
    )
    port: int = Field(
        8079,
        ge=1,
        le=65_535,
        validation_alias=AliasChoices("EXAI_PORT", "EXAI_WS_PORT"),
        description="Port of everything: WebSocket, pages, admin, health.",
    )
    web_processes: int = Field(
        1,
        ge=1,
        le=64,
        validation_alias="EXAI_WEB_PROCESSES",
        description="Web processes; they share one listening socket.",
    )
    allowed_hosts: Annotated[CommaSeparated, AfterValidator(_host_names)] = Field(
        (),
        validation_alias="EXAI_ALLOWED_HOSTS",
        description="Host names that clients reach the hub by, separated by commas. Loopback names always work.",
    )
    public_url: HttpUrl | None = Field(
        None,
        validation_alias="EXAI_PUBLIC_URL",
        description="Address of the hub behind a proxy, such as `https://exai.example.com`. "
        "With https, cookies are sent over TLS only.",
    )
    trusted_proxies: Networks = Field(
        (),
        validation_alias="EXAI_TRUSTED_PROXIES",
        description="Addresses or networks of proxies whose `X-Forwarded-For` is believed, separated by commas.",
    )
    data_dir: Annotated[Path, AfterValidator(below_project)] = Field(
        Path(".exai"),
        validate_default=True,
        validation_alias="EXAI_DATA_DIR",
        description="Folder of the databases, files, keys and logs; a relative one lies in the project folder.",
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=32,
        validation_alias="EXAI_SECRET_KEY",
        description="Signs sessions. By default one is made and kept in `EXAI_DATA_DIR`; "
        "hubs on several machines need the same.",
    )
    time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        "Australia/Melbourne",
        validation_alias="EXAI_TIME_ZONE",
        description="Zone in which people are shown times; everything is stored in UTC.",
    )
    drain_secs: Seconds = Field(
        30,
        validation_alias="EXAI_DRAIN_SECS",
        description="How long calls that run at SIGTERM may take to finish, in seconds.",
    )

    @model_validator(mode="after")
    def _reachable_by_a_known_name(self) -> Self:
        if not is_loopback(self.host) and not self.allowed_hosts and not self.public_url:
            raise ValueError(
                f"EXAI_HOST={self.host} listens beyond this machine, which needs EXAI_ALLOWED_HOSTS: "
                "the host names by which clients reach it, such as EXAI_ALLOWED_HOSTS=exai.example.com"
            )
        return self

    @property
    def accepted_hosts(self) -> list[str]:
        """Values of the Host header that are answered, in Django's notation."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        public = urlsplit(self.public_url).hostname if self.public_url else None
        listening = [] if own in _LOOPBACK_NAMES or _is_wildcard(self.host) else [own]
        return [*_LOOPBACK_NAMES, *listening, *self.allowed_hosts, *([public] if public else [])]

    @property
    def local_url(self) -> str:
        """An http:// URL at which this machine reaches the hub."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def token_file(self) -> Path:
        """Where the first client's token lies (mode 0600), for `manage.py call`."""
        return self.data_dir / "client.token"

    @property
    def secret_key_file(self) -> Path:
        return self.data_dir / "secret.key"
