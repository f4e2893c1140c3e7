"""A configuration that cannot be used: everything that is wrong is named at once, and no secret is shown."""

import json
import traceback
from collections.abc import Mapping

import pytest

from exai.settings.hub import ConfigurationError, parse

ANYWHERE = "0.0.0.0"  # noqa: S104  nothing is bound to it
SECRET = "sk-0123456789abcdef"


def problems(environment: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(environment)
    for problem in caught.value.problems:
        assert f"  - {problem}" in str(caught.value)
    return caught.value.problems


def everything_said(environment: Mapping[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(environment)
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("EXAI_PORT", "0", "should be a whole number from 1 to 65535"),
        ("EXAI_PORT", "http", "should be a whole number from 1 to 65535"),
        ("EXAI_WS_PORT", "70000", "should be a whole number from 1 to 65535"),
        ("EXAI_WEB_PROCESSES", "1.5", "should be a whole number from 1 to 64"),
        ("EXAI_DRAIN_SECS", "0", "should be a number above 0 to 86400"),
        ("EXAI_DRAIN_SECS", "nan", "should be a number above 0 to 86400"),
        ("EXAI_WS_HELLO_TIMEOUT", "soon", "should be a number above 0 to 86400"),
        ("CONVERSATION_TIMEOUT_HOURS", "-1", "should be a number from 0 to 876000"),
        ("CONVERSATION_TIMEOUT_HOURS", "inf", "should be a number from 0 to 876000"),
        ("EXAI_WS_MAX_BYTES", "1", "should be a whole number from 1024"),
        ("EXAI_LOG_LEVEL", "loud", "should be one of DEBUG, INFO, WARNING, ERROR"),
        ("EXAI_LOG_FORMAT", "xml", "should be one of json, text"),
        ("EXAI_PUBLIC_URL", "hub.example", "should be a URL: https://… or http://…"),
        ("EXAI_PUBLIC_URL", "https://[::1", "should be a URL: https://… or http://…"),
        ("EXAI_PUBLIC_URL", "https://", "should be a URL with a host: https://HOST/…"),
        ("KIMI_API_URL", "ftp://kimi.example", "should be a URL: https://… or http://…"),
        ("KIMI_API_URL", "https://kimi.example:99999", "should have a port from 1 to 65535"),
        ("EXAI_ALLOWED_HOSTS", "https://hub.example", "should be host names"),
        ("EXAI_ALLOWED_HOSTS", "hub.example:8079", "should be host names"),
        ("EXAI_FILE_ROOTS", "projects", "should be absolute paths"),
        ("EXAI_FILE_ROOTS", "/srv,//", "should be absolute paths"),
        ("EXAI_FILE_ROOTS", "//proc/1", "should be absolute paths"),
        ("EXAI_FILE_ROOTS", "/srv/../proc", "should be absolute paths"),
        ("EXAI_TIME_ZONE", "Mars/Olympus", "should be a name of the IANA time zone database"),
        ("EXAI_TIME_ZONE", "../../etc/passwd", "should be a name of the IANA time zone database"),
        ("EXAI_DATA_DIR", "~nobody-of-that-name/data", "should be a path"),
    ],
)
def test_a_wrong_value_is_shown_with_what_it_should_be(name: str, value: str, wanted: str) -> None:
    [problem] = problems({name: value})
    assert problem.startswith(f"{name}={value!r}: {wanted}")


def test_a_long_value_is_shown_in_part() -> None:
    [problem] = problems({"EXAI_PORT": "9" * 5000})
    assert len(problem) < 300


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("MOONSHOT_API_KEY", f"{SECRET} {SECRET}", "should be one word of printable ASCII characters"),
        ("ZAI_API_KEY", f"{SECRET}\x07", "should be one word of printable ASCII characters"),
        ("KIMI_API_KEY", f"{SECRET}é", "should be one word of printable ASCII characters"),
        ("EXAI_SECRET_KEY", SECRET, "should be at least 32 characters"),
        ("EXAI_WS_TOKEN", "sk-0", "should be at least 8 characters"),
        ("DATABASE_URL", f"mysql://exai:{SECRET}@db/exai", "should be a URL: postgresql://… or postgres://…"),
        ("DATABASE_URL", f"exai:{SECRET}@db/exai", "should be a URL: postgresql://… or postgres://…"),
        ("DATABASE_URL", f"postgresql://exai:{SECRET}%zz@db/exai", "should be postgresql://USER:PASSWORD@HOST:PORT/"),
        ("DATABASE_URL", f"postgresql://exai:{SECRET} {SECRET}@db/exai", "should be postgresql://USER:PASSWORD@HOST"),
        ("REDIS_URL", f"http://:{SECRET}@cache", "should be a URL: redis://… or rediss://… or unix://…"),
        ("REDIS_URL", f"redis://:{SECRET}/{SECRET}@cache", "should have a port from 1 to 65535"),
        ("EXAI_ENDPOINTS", f'[{{"name":"a","key":"{SECRET}"', "should be JSON (it breaks at character"),
        ("EXAI_ENDPOINTS", f'"{SECRET}"', "should be a JSON list"),
        ("EXAI_ENDPOINTS", "[" * 100_000 + SECRET, "should be JSON (it is nested too deeply)"),
    ],
)
def test_a_wrong_secret_is_named_but_never_shown(name: str, value: str, wanted: str) -> None:
    [problem] = problems({name: value})
    assert problem.startswith(f"{name}: {wanted}")
    assert "sk-0" not in everything_said({name: value})


@pytest.mark.parametrize("name", ["KIMI_API_URL", "GLM_API_URL", "EXAI_PUBLIC_URL"])
def test_an_address_with_a_password_is_refused_without_showing_it(name: str) -> None:
    [problem] = problems({name: f"https://user:{SECRET}@host.example/v1"})
    assert problem == f"{name}='https://…@host.example/v1': should hold no user and password"
    assert SECRET not in everything_said({name: f"ftp://user:{SECRET}@/{SECRET}@host.example/v1"})
    [problem] = problems({name: f"https://host.example/v1?key={SECRET}"})
    assert problem == f"{name}='https://host.example/v1?…': should end with its path: no ? and no #, no spaces"


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ({"url": "http://a", "models": ["m"]}, "[0].name"),
        ({"name": "A b", "url": "http://a", "models": ["m"]}, "[0].name: should be lower-case letters"),
        ({"name": "kimi", "url": "http://a", "models": ["m"]}, "[0].name: kimi is the name of a built-in provider"),
        ({"name": "a", "url": "a", "models": ["m"]}, "[0].url: should be a URL: https://… or http://…"),
        ({"name": "a", "url": f"http://u:{SECRET}@a", "models": ["m"]}, "[0].url: should hold no user and password"),
        ({"name": "a", "url": f"http://a/v1?key={SECRET}", "models": ["m"]}, "[0].url: should end with its path"),
        ({"name": "a", "url": "http://a/v1#part", "models": ["m"]}, "[0].url: should end with its path"),
        ({"name": "a", "url": "http://a\n/v1", "models": ["m"]}, "[0].url: should end with its path"),
        ({"name": "a", "url": "http://a..b/v1", "models": ["m"]}, "[0].url: should be a URL with the name of a host"),
        ({"name": "a", "url": "http://" + "a" * 64, "models": ["m"]}, "[0].url: should be a URL with the name of"),
        ({"name": "a", "url": "http://a"}, "[0].models"),
        ({"name": "a", "url": "http://a", "models": []}, "[0].models"),
        ({"name": "a", "url": "http://a", "models": [5]}, "[0].models[0]"),
        ({"name": "a", "url": "http://a", "models": [{"id": "m", "context": 1}]}, "[0].models[0].context"),
        ({"name": "a", "url": "http://a", "models": [{"id": "m", "contxt": 900}]}, "[0].models[0].contxt"),
        ({"name": "a", "url": "http://a", "models": ["m"], "api_key": SECRET}, "[0].api_key"),
        (
            {"name": "a", "url": "http://a", "models": ["m"], "key": f"{SECRET}\n{SECRET}"},
            "[0].key: should be one word",
        ),
    ],
)
def test_what_is_wrong_inside_an_endpoint_is_named_by_its_place(endpoint: dict[str, object], place: str) -> None:
    environment = {"EXAI_ENDPOINTS": json.dumps([{"key": SECRET, **endpoint}])}
    [problem] = problems(environment)
    assert problem.startswith(f"EXAI_ENDPOINTS{place}")
    assert SECRET not in everything_said(environment)


def test_two_endpoints_of_one_name_are_a_contradiction_that_is_told_once() -> None:
    endpoint = {"name": "a", "url": "http://a", "key": SECRET, "models": ["m"]}
    assert problems({"EXAI_ENDPOINTS": json.dumps([endpoint, endpoint])}) == [
        "EXAI_ENDPOINTS names a more than once; each needs its own name"
    ]


def test_two_names_of_one_setting_with_different_values_are_a_contradiction() -> None:
    environment = {"MOONSHOT_API_KEY": SECRET, "KIMI_API_KEY": f"{SECRET}-other"}
    assert problems(environment) == [
        "MOONSHOT_API_KEY and KIMI_API_KEY are two names of one setting and have different values: keep one of them"
    ]
    assert SECRET not in everything_said(environment)


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.168.0.7", "hub.example"])
def test_listening_beyond_this_machine_needs_the_names_that_are_answered(host: str) -> None:
    [problem] = problems({"EXAI_HOST": host})
    assert problem.startswith(f"EXAI_HOST={host} listens beyond this machine, which needs EXAI_ALLOWED_HOSTS")
    assert parse({"EXAI_HOST": host, "EXAI_PUBLIC_URL": "https://hub.example"}).host == host


def test_everything_that_is_wrong_is_told_at_once() -> None:
    environment = {
        "EXAI_HOST": ANYWHERE,
        "EXAI_PORT": "0",
        "EXAI_LOG_LEVEL": "loud",
        "EXAI_DRAIN_SECS": "soon",
        "EXAI_TIME_ZONE": "Mars/Olympus",
        "DATABASE_URL": f"mysql://exai:{SECRET}@db/exai",
        "EXAI_WS_TOKEN": "sk-0",
        "MOONSHOT_API_KEY": SECRET,
        "KIMI_API_KEY": f"{SECRET}-other",
        "EXAI_ENDPOINTS": json.dumps([{"name": "A", "url": "a", "key": SECRET, "models": []}]),
        "MAX_CONVERSATION_TURNS": "20",
    }
    told = problems(environment)
    for start in (
        "EXAI_HOST=0.0.0.0 listens beyond",
        "EXAI_PORT='0': ",
        "EXAI_LOG_LEVEL='loud': ",
        "EXAI_DRAIN_SECS='soon': ",
        "EXAI_TIME_ZONE='Mars/Olympus': ",
        "DATABASE_URL: ",
        "EXAI_WS_TOKEN: ",
        "MOONSHOT_API_KEY and KIMI_API_KEY are two names",
        "EXAI_ENDPOINTS[0].name: ",
        "EXAI_ENDPOINTS[0].url: ",
        "EXAI_ENDPOINTS[0].models: ",
    ):
        assert len([problem for problem in told if problem.startswith(start)]) == 1, start
    assert len(told) == 11
    assert "sk-0" not in everything_said(environment)
