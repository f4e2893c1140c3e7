"""Settings from variables: their defaults, their names, and what derives from them."""

from pathlib import Path
from typing import Any

import pytest

from exai.settings.hub import HubSettings, parse, unknown_variables, variable_names
from exai.settings.server import PROJECT_DIR, is_loopback

ANYWHERE = "0.0.0.0"  # noqa: S104  nothing is bound to it
SECRETS = {
    "MOONSHOT_API_KEY": "sk-moonshot-0123456789",
    "GLM_API_KEY": "sk-glm-0123456789",
    "EXAI_WS_TOKEN": "token-0123456789-0123456789-0123456789",
    "EXAI_SECRET_KEY": "signing-0123456789-0123456789-0123456789",
    "DATABASE_URL": "postgresql://exai:pa55word-0123@db/exai",
    "REDIS_URL": "redis://:pa55word-4567@cache:6379/0",
    "EXAI_ENDPOINTS": '[{"name":"a","url":"http://a/v1","key":"sk-endpoint-0123456789","models":["m"]}]',
}
HIDDEN = ("sk-moonshot", "sk-glm", "token-0", "signing-0", "pa55word", "sk-endpoint", "exai:", "@db", "@cache")


def test_without_any_variable_everything_has_a_default() -> None:
    settings = parse({})
    assert (settings.host, settings.port, settings.web_processes) == ("127.0.0.1", 8079, 1)
    assert settings.data_dir == PROJECT_DIR / ".exai"
    assert settings.database_url is None
    assert settings.redis_url is None
    assert settings.kimi_api_key is None
    assert settings.endpoints == ()
    assert (settings.ws_max_bytes, settings.tool_call_max_size) == (32 * 2**20, 10 * 2**20)
    assert (settings.ws_hello_timeout, settings.ws_progress_interval_secs) == (15, 5)
    assert (settings.max_conversation_turns, settings.conversation_timeout_hours) == (20, 24)
    assert (settings.log_level, settings.log_format) == ("INFO", "json")


def test_an_empty_variable_counts_as_absent() -> None:
    empty = {
        name: value for field in HubSettings.model_fields.values() for name in variable_names(field) for value in [""]
    }
    assert parse(empty) == parse({})
    assert parse(dict.fromkeys(empty, " \n")) == parse({})


def test_spaces_and_line_ends_around_a_value_do_not_count() -> None:
    settings = parse({"EXAI_PORT": " 9000\n", "EXAI_LOG_LEVEL": "DEBUG ", "KIMI_API_KEY": " sk-key\r\n"})
    assert (settings.port, settings.log_level) == (9000, "DEBUG")
    assert settings.kimi_api_key is not None
    assert settings.kimi_api_key.get_secret_value() == "sk-key"


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("EXAI_WS_HOST", "127.0.0.2", "host", "127.0.0.2"),
        ("EXAI_WS_PORT", "9000", "port", 9000),
        ("EXAI_ALLOWED_HOSTS", "a.example, b.example,,", "allowed_hosts", ("a.example", "b.example")),
        ("EXAI_ALLOWED_HOSTS", "*", "allowed_hosts", ("*",)),
        ("EXAI_ALLOWED_HOSTS", ".example.com,[fe80::1]", "allowed_hosts", (".example.com", "[fe80::1]")),
        ("EXAI_FILE_ROOTS", "/srv/projects, /home/a b", "file_roots", ("/srv/projects", "/home/a b")),
        ("EXAI_PUBLIC_URL", "https://hub.example/", "public_url", "https://hub.example"),
        ("GLM_API_URL", "http://127.0.0.1:9/v4//", "glm_api_url", "http://127.0.0.1:9/v4"),
        ("EXAI_DATA_DIR", "data", "data_dir", PROJECT_DIR / "data"),
        ("EXAI_DATA_DIR", "/srv/my data", "data_dir", Path("/srv/my data")),
        ("EXAI_DATA_DIR", "~/data", "data_dir", Path.home() / "data"),
        ("EXAI_DRAIN_SECS", "0.5", "drain_secs", 0.5),
        ("CONVERSATION_TIMEOUT_HOURS", "0", "conversation_timeout_hours", 0),
        ("EXAI_TIME_ZONE", "Europe/Zurich", "time_zone", "Europe/Zurich"),
        ("EXAI_LOG_FORMAT", "text", "log_format", "text"),
    ],
)
def test_each_kind_of_value_is_read(name: str, value: str, attribute: str, expected: Any) -> None:
    assert getattr(parse({name: value}), attribute) == expected


@pytest.mark.parametrize("name", ["MOONSHOT_API_KEY", "KIMI_API_KEY"])
def test_a_setting_is_read_by_each_of_its_names(name: str) -> None:
    key = parse({name: "sk-key"}).kimi_api_key
    assert key is not None
    assert key.get_secret_value() == "sk-key"


def test_two_names_of_a_setting_may_both_be_there_with_one_value() -> None:
    assert parse({"EXAI_PORT": "9000", "EXAI_WS_PORT": "9000 "}).port == 9000


def test_endpoints_are_read_from_json() -> None:
    listed = (
        '[{"name":"ollama","url":"http://127.0.0.1:11434/v1/","models":["llama3.3"]},'
        '{"name":"router","url":"https://r.example/v1","key":"sk-router",'
        '"models":[{"id":"big","context":64000,"output":4000,"aliases":["b"]}]}]'
    )
    ollama, router = parse({"EXAI_ENDPOINTS": listed}).endpoints
    assert (ollama.name, ollama.url, ollama.key.get_secret_value()) == ("ollama", "http://127.0.0.1:11434/v1", "")
    assert (ollama.models[0].id, ollama.models[0].context, ollama.models[0].output) == ("llama3.3", 8192, None)
    assert router.key.get_secret_value() == "sk-router"
    assert (router.models[0].context, router.models[0].output, router.models[0].aliases) == (64_000, 4000, ("b",))


@pytest.mark.parametrize("name", ["host", "port", "HOST", "exai_port"])
def test_other_variables_are_none_of_its_business(name: str) -> None:
    assert parse({name: "nonsense", "PATH": "/bin", "EXAI_UNKNOWN": "1"}) == parse({})


def test_settings_show_no_secret() -> None:
    settings = parse(SECRETS)
    for shown in (
        repr(settings),
        str(settings),
        repr(settings.endpoints),
        str(settings.model_dump()),
        settings.model_dump_json(),
    ):
        assert [secret for secret in HIDDEN if secret in shown] == []  # fmt: skip


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(parse({}), "port", 1)  # noqa: B010  mypy knows that it cannot be set


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("EXAI_WS_PROT", "EXAI_WS_PORT"),
        ("EXAI_ALLOWED_HOST", "EXAI_ALLOWED_HOSTS"),
        ("EXAI_TOOL_TIMEOUT", "EXAI_TOOL_TIMEOUT_SECS"),
        ("EXAI_LOGLEVEL", "EXAI_LOG_LEVEL"),
    ],
)
def test_an_unknown_variable_of_ours_is_told_with_the_nearest_name(variable: str, nearest: str) -> None:
    [warning] = unknown_variables({variable: "secret-value", "PATH": "/bin", "EXAI_PORT": "1"})
    assert warning == f"{variable} is not a setting of this version and does nothing; did you mean {nearest}?"


def test_an_unknown_variable_unlike_any_other_is_told_alone() -> None:
    [warning] = unknown_variables({"EXAI_QQQQQQQQQQQQQQQQQQQQQQQQ": "1"})
    assert warning.endswith("does nothing")


def test_known_variables_and_those_of_others_are_not_told() -> None:
    known = {name: "1" for field in HubSettings.model_fields.values() for name in variable_names(field)}
    assert unknown_variables({**known, "EXAI_ENV_FILE": "x", "DJANGO_DEBUG": "1", "exai_port": "1"}) == []


@pytest.mark.parametrize(
    ("environment", "hosts"),
    [
        ({}, []),
        ({"EXAI_ALLOWED_HOSTS": "a.example,b.example"}, ["a.example", "b.example"]),
        ({"EXAI_PUBLIC_URL": "https://hub.example:8443/exai"}, ["hub.example"]),
        ({"EXAI_ALLOWED_HOSTS": "a.example", "EXAI_PUBLIC_URL": "http://Hub.Example"}, ["a.example", "hub.example"]),
        ({"EXAI_ALLOWED_HOSTS": "a.example", "EXAI_HOST": "192.0.2.2"}, ["192.0.2.2", "a.example"]),
        ({"EXAI_ALLOWED_HOSTS": "a.example", "EXAI_HOST": "fd00::7"}, ["[fd00::7]", "a.example"]),
        ({"EXAI_ALLOWED_HOSTS": "a.example", "EXAI_HOST": "hub.internal"}, ["hub.internal", "a.example"]),
        ({"EXAI_ALLOWED_HOSTS": "a.example", "EXAI_HOST": ANYWHERE}, ["a.example"]),
        ({"EXAI_ALLOWED_HOSTS": "a.example", "EXAI_HOST": "::"}, ["a.example"]),
        ({"EXAI_HOST": "127.0.0.2"}, ["127.0.0.2"]),
        ({"EXAI_HOST": "::1"}, []),
    ],
)
def test_loopback_and_the_configured_names_are_answered(environment: dict[str, str], hosts: list[str]) -> None:
    assert parse(environment).accepted_hosts == ["localhost", "127.0.0.1", "[::1]", *hosts]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8079"),
        ("localhost", "http://localhost:8079"),
        (ANYWHERE, "http://127.0.0.1:8079"),
        ("::", "http://[::1]:8079"),
        ("::1", "http://[::1]:8079"),
        ("[::1]", "http://[::1]:8079"),
        ("192.168.0.7", "http://192.168.0.7:8079"),
        ("fe80::1", "http://[fe80::1]:8079"),
    ],
)
def test_this_machine_reaches_the_hub_at_its_local_url(host: str, url: str) -> None:
    assert parse({"EXAI_HOST": host, "EXAI_ALLOWED_HOSTS": "hub.example"}).local_url == url


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]")),
        *((host, False) for host in (ANYWHERE, "::", "192.168.0.7", "hub.example", "")),
    ],
)
def test_loopback_is_recognised(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_files_of_the_data_folder_lie_in_it() -> None:
    settings = parse({"EXAI_DATA_DIR": "/srv/exai"})
    assert settings.token_file == Path("/srv/exai/client.token")
    assert settings.secret_key_file == Path("/srv/exai/secret.key")
