"""The providers that settings make."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exai.provider_config.plans import plan_providers
from exai.providers.base import Asker, ModelRequest
from exai.providers.echo import MODEL
from exai.providers.metering import RequestRecord
from exai.providers.registry import Registry
from exai.settings.hub import parse
from exai.wiring import build_registry
from tests.providers.asking import answer, failure, provider_failure_of, question
from tests.upstream import Upstream


class CountedSlots:
    """Slots without end that count how many are held; the seam at which the hub's own are plugged in."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.most: dict[str, int] = {}

    @asynccontextmanager
    async def slot(self, provider: str, *, most: int, asker: Asker | None) -> AsyncIterator[None]:
        self.held[provider] += 1
        self.taken[provider] += 1
        self.most[provider] = most
        try:
            yield
        finally:
            self.held[provider] -= 1


class Records(list[RequestRecord]):
    def record(self, record: RequestRecord) -> None:
        self.append(record)


def build(**environment: str) -> Registry:
    return build_registry(parse(environment), CountedSlots())


async def test_a_real_provider_holds_a_slot_for_as_long_as_it_is_asked(upstream: Upstream) -> None:
    slots = CountedSlots()
    listed = endpoints({"name": "bounded", "url": upstream.url, "models": ["bounded-model"], "max_inflight": 7})
    built = build_registry(parse({"EXAI_ENDPOINTS": listed}), slots)
    events = built.named("bounded-model").provider.ask(question("bounded-model"))
    await anext(events)
    assert (slots.held["bounded"], slots.most["bounded"]) == (1, 7)
    await events.aclose()
    assert slots.held["bounded"] == 0
    await built.close()


async def test_all_attempts_at_an_answer_are_one_record_and_each_takes_its_own_slot(upstream: Upstream) -> None:
    upstream.behave("hiccup-model", status=503, retry_after=0, first_failures=1)
    slots, meter = CountedSlots(), Records()
    listed = endpoints({"name": "hiccup", "url": upstream.url, "models": ["hiccup-model"]})
    built = build_registry(parse({"EXAI_ENDPOINTS": listed}), slots, meter=meter)
    await answer(built.named("hiccup-model").provider, question("hiccup-model"))
    await answer(built.named(MODEL).provider, question(MODEL))
    await built.close()
    assert [(record.provider, record.outcome, record.attempts) for record in meter] == [
        ("hiccup", "succeeded", 2),
        ("exai", "succeeded", 0),
    ]
    assert slots.taken["hiccup"] == 2


async def test_a_provider_that_is_left_alone_takes_no_slot_and_its_last_failure_is_not_repeated(
    upstream: Upstream,
) -> None:
    upstream.behave("failing-model", status=503, retry_after=0)
    slots, meter = CountedSlots(), Records()
    listed = endpoints({"name": "failing", "url": upstream.url, "models": ["failing-model"]})
    built = build_registry(parse({"EXAI_ENDPOINTS": listed}), slots, meter=meter)
    provider = built.named("failing-model").provider
    for _ in range(2):
        await provider_failure_of("failing", provider, question("failing-model"))
    assert slots.taken["failing"] == 5  # three attempts, and two until the breaker opened
    assert built.breaker("failing").state == "open"
    refused = await failure(provider, question("failing-model"))
    assert (refused.code, slots.taken["failing"]) == ("SERVICE_UNAVAILABLE", 5)
    await built.close()
    assert [record.error_code for record in meter] == ["PROVIDER_ERROR", "PROVIDER_ERROR", "SERVICE_UNAVAILABLE"]


async def test_an_answer_s_time_is_bounded(upstream: Upstream) -> None:
    upstream.behave("endless-model", delay_s=60)
    listed = endpoints({"name": "endless", "url": upstream.url, "models": ["endless-model"]})
    async with registry(EXAI_ENDPOINTS=listed) as built:
        asked = ModelRequest("endless-model", (), timeout_s=0.1)
        assert (await failure(built.named("endless-model").provider, asked)).code == "TIMEOUT"


@asynccontextmanager
async def registry(**environment: str) -> AsyncIterator[Registry]:
    built = build(**environment)
    yield built
    await built.close()


def endpoints(*listed: dict[str, object]) -> str:
    return json.dumps(listed)


async def test_without_any_key_there_is_the_test_model() -> None:
    async with registry() as built:
        assert [provider.name for provider in built.providers] == ["exai"]
        assert built.automatic().info.id == MODEL


async def test_each_key_adds_its_vendor_with_all_its_models() -> None:
    async with registry(KIMI_API_KEY="k", ZHIPUAI_API_KEY="g") as built:
        assert [provider.name for provider in built.providers] == ["kimi", "glm", "exai"]
        assert built.automatic().info.id == "kimi-k2-turbo-preview"
        assert built.named("kimi-k2").info.context == 262_144
        assert built.named("glm-4.5-x").info.id == "glm-4.5-air"
    async with registry(GLM_API_KEY="g") as built:
        assert built.automatic().info.id == "glm-4.5-air"


def test_the_vendors_whose_key_is_missing_are_named_with_its_setting() -> None:
    assert plan_providers(parse({}), {}).unconfigured == {"kimi": "MOONSHOT_API_KEY", "glm": "ZAI_API_KEY"}
    assert plan_providers(parse({"KIMI_API_KEY": "k"}), {}).unconfigured == {"glm": "ZAI_API_KEY"}


@pytest.mark.parametrize(
    ("vendor", "model", "key", "url", "setting"),
    [
        ("kimi", "kimi-k2-0905-preview", "MOONSHOT_API_KEY", "KIMI_API_URL", "MOONSHOT_API_KEY"),
        ("glm", "glm-4.6", "ZAI_API_KEY", "GLM_API_URL", "ZAI_API_KEY"),
    ],
)
async def test_a_vendor_is_asked_at_its_address_with_its_key(
    upstream: Upstream, vendor: str, model: str, key: str, url: str, setting: str
) -> None:
    async with registry(**{key: f"sk-{vendor}-key\n", url: f"{upstream.url}/"}) as built:
        served = built.named(model)
        upstream.behave(model, text=f"I am {vendor}")
        assert (await answer(served.provider, question(model))).text == f"I am {vendor}"
        request = upstream.requests(model)[-1]
        assert request.path == "/v1/chat/completions"
        assert request.headers["authorization"] == f"Bearer sk-{vendor}-key"
        upstream.behave(model, status=401)
        failed = await provider_failure_of(vendor, served.provider, question(model))
        assert setting in failed.message


async def test_any_number_of_endpoints_are_added_with_their_models(upstream: Upstream) -> None:
    listed = endpoints(
        {"name": "ollama", "url": upstream.url, "models": ["llama3.3"]},
        {
            "name": "router",
            "url": upstream.url,
            "key": "sk-router-key",
            "models": [{"id": "big/model", "context": 64_000, "output": 4000, "aliases": ["big"]}, "llama3.3"],
        },
    )
    async with registry(EXAI_ENDPOINTS=listed) as built:
        assert [provider.name for provider in built.providers] == ["ollama", "router", "exai"]
        assert built.automatic().info.id == "llama3.3"
        assert built.named("llama3.3").provider.name == "ollama"
        assert built.named("router/llama3.3").provider.name == "router"
        big = built.named("big")
        assert (big.info.id, big.info.context, big.info.output) == ("big/model", 64_000, 4000)
        assert (await answer(big.provider, question("big/model"))).text == "You said: Good morning"
        assert upstream.requests("big/model")[-1].headers["authorization"] == "Bearer sk-router-key"
        upstream.behave("big/model", status=403)
        failed = await provider_failure_of("router", big.provider, question("big/model"))
        assert "EXAI_ENDPOINTS (router)" in failed.message
        assert "sk-router-key" not in failed.message


async def test_an_own_catalogue_extends_the_built_in_one(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text(json.dumps({"glm": [{"id": "glm-5", "context": 5000}]}))
    async with registry(ZAI_API_KEY="g", EXAI_CATALOGUE_FILE=str(file)) as built:
        assert built.named("glm-5").info.context == 5000


async def test_the_timeouts_are_the_settings(upstream: Upstream) -> None:
    listed = endpoints({"name": "slow", "url": upstream.url, "models": ["slow-model"]})
    upstream.behave("slow-model", delay_s=60)
    async with registry(EXAI_ENDPOINTS=listed, EXAI_READ_TIMEOUT_SECS="0.2") as built:
        failed = await provider_failure_of("slow", built.named("slow-model").provider, question("slow-model"))
    assert failed.message == "slow was silent for too long."
