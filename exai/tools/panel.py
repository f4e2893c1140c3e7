"""Several models that are asked the same question at once: none sees what another answers."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from exai.protocol.errors import HubError, InvalidValue
from exai.protocol.values import FileMention
from exai.providers.registry import AUTO, Registry
from exai.tools.context import ToolContext
from exai.tools.prompts import prompt

Stance = Literal["for", "against", "neutral"]

MOST_MEMBERS = 16
_SHARE_OF_TIME = 0.8  # a slow one must not take the time of whoever sums up
_FIRST_WORDS = 120  # characters
_SYSTEM = prompt("consensus")
_STANCES = {stance: prompt(f"consensus_{stance}") for stance in ("for", "against", "neutral")}


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """`model` as the caller names it. `wish`: what the caller adds about the stance."""

    model: str
    stance: Stance = "neutral"
    wish: str = ""

    @property
    def title(self) -> str:
        return f"{self.model} ({self.stance})"

    @property
    def system(self) -> str:
        wish = f"\n\nThe agent adds about your stance: {self.wish}" if self.wish else ""
        return f"{_SYSTEM}\n\n{_STANCES[self.stance]}{wish}"


class Opinion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a member answered, or the error that came instead."""

    member: Member
    text: str = ""
    provider: str = ""
    served_by: str = ""
    seconds: float = 0.0
    error_code: str = ""
    error_message: str = ""

    def described(self) -> dict[str, Any]:
        """For the caller, in the field names that callers know."""
        about: dict[str, Any] = {"model": self.member.model, "stance": self.member.stance}
        if self.error_code:
            return {**about, "status": "error", "error": {"code": self.error_code, "message": self.error_message}}
        metadata = {"model_used": self.served_by, "provider_used": self.provider, "seconds": self.seconds}
        return {**about, "status": "success", "verdict": self.text, "metadata": metadata}

    def as_markdown(self) -> str:
        title = f"## {self.member.title}"
        return f"{title}\n\nNo answer: {self.error_message}" if self.error_code else f"{title}\n\n{self.text}"


def check_members(members: Sequence[Member], registry: Registry) -> None:
    """That each can be asked, and none is the same as another. Raises `InvalidValue`."""
    if not members:
        raise InvalidValue(
            'Name the models to ask in step 1: models [{"model", "stance"}], see listmodels.',
            models="needed in step 1",
        )
    if len(members) > MOST_MEMBERS:
        raise InvalidValue(
            f"{len(members)} models are named; at most {MOST_MEMBERS} are asked.", models=f"at most {MOST_MEMBERS}"
        )
    seen: dict[tuple[str, str, str], int] = {}
    for index, member in enumerate(members):
        name = member.model.strip().lower()
        if not name:
            raise InvalidValue(f"models.{index} names no model.", models=f"{index}: the name is empty")
        served = AUTO if name == AUTO else registry.named(name).qualified_name
        before = seen.setdefault((served, member.stance, member.wish), index)
        if before != index:
            raise InvalidValue(
                f"models.{before} and models.{index} are the same: give {member.model} another stance or another "
                "stance_prompt, or name it once.",
                models=f"{index}: the same as {before}",
            )


async def ask_panel(
    context: ToolContext,
    members: Sequence[Member],
    *,
    question: str,
    files: Sequence[FileMention] = (),
    images: Sequence[FileMention] = (),
) -> tuple[Opinion, ...]:
    """Asks all of them at once; the opinions in their order. The caller hears of each as it comes.

    A member that fails is no failure of the others. Raises the `HubError` of the first one when all have failed.
    """
    failures: dict[int, HubError] = {}
    ended = 0

    async def ask(index: int, member: Member) -> Opinion:
        nonlocal ended
        began = time.perf_counter()
        try:
            answer = await context.ask(
                system=member.system,
                prompt=question,
                model=member.model,
                route="deep",
                files=files,
                images=images,
                allow_fallback=False,  # its stance is another's already, perhaps
                share_of_time=_SHARE_OF_TIME,
            )
        except HubError as error:
            failures[index] = error
            opinion = Opinion(member, error_code=error.code.value, error_message=error.message)
            news = f"failed: {error.message}"
        else:
            seconds = round(time.perf_counter() - began, 2)
            opinion = Opinion(member, answer.text, answer.provider, answer.model, seconds)
            news = f"answered: {answer.text}"
        ended += 1
        await context.progress(f"{ended} of {len(members)}: {member.title} {_short(news)}")
        return opinion

    await context.progress(f"Asking {len(members)} at once: {', '.join(member.title for member in members)}")
    try:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(index, member)) for index, member in enumerate(members)]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None  # a fault of the hub's own: the others were stopped
    opinions = tuple(task.result() for task in asking)
    if len(failures) == len(members):
        raise _none_answered(members, failures)
    return opinions


def _none_answered(members: Sequence[Member], failures: dict[int, HubError]) -> HubError:
    first = failures[0]
    if len(members) > 1:
        listed = " ".join(f"{member.title}: {failures[index].message}" for index, member in enumerate(members))
        first.message = f"None of the {len(members)} models answered. {listed}"
    return first


def _short(text: str) -> str:
    words = " ".join(text[: 2 * _FIRST_WORDS].split())
    return words if len(words) <= _FIRST_WORDS else f"{words[: _FIRST_WORDS - 1]}…"
