"""A question with all that goes with it: its files, the conversation so far, and the files of that.

A file goes once: as a document where a vendor read it for this question, else with the oldest message of those sent
that came with it; others only name it. Which messages are sent is another matter for each model, and so is whether it
sees images.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from exai.protocol.errors import ContentTooLarge, InvalidValue
from exai.protocol.values import FileMention, Turn
from exai.providers.base import ChatMessage, ModelInfo
from exai.providers.budget import TOKENS_PER_IMAGE
from exai.providers.tokens import TOKENS_PER_MESSAGE, estimate_tokens
from exai.tools import file_blocks
from exai.tools.files import FileFacts, Files, once
from exai.tools.history import TokensOfFiles, newest_that_fit, tokens_of
from exai.tools.prompts import prompt as prompt_text

_DEFAULT_ANSWER_TOKENS = 4096  # kept free for the answer where a model's limit is unknown
_ABOUT_FILES = prompt_text("files")


class SentFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that a question came with. `sent` False: the messages before hold it already. `parts`: what of it was
    read, where not all was."""

    id: UUID
    name: str
    sent: bool
    parts: str = ""


class Question:
    """To be weighed before anything else is asked of it."""

    def __init__(
        self,
        *,
        system: str,
        prompt: str,
        turns: Sequence[Turn],
        store: Files,
        files: Sequence[FileMention] = (),
        images: Sequence[FileMention] = (),
        documents: Mapping[UUID, str] = {},
    ) -> None:
        self.files = once((*files, *images))
        self._ids = frozenset(file.id for file in self.files)
        self.tokens = 0
        self.sees_images = False  # whether only a model with vision can answer it
        self.sent: tuple[SentFile, ...] = ()  # by the messages made last
        self._prompt = prompt
        self._documents = documents
        self._turns = turns
        self._store = store
        self._named = {"files": files, "images": images}
        self._has_files = bool(self.files) or any(turn.files for turn in turns)
        self._system = f"{system}\n\n{_ABOUT_FILES}" if self._has_files else system
        self._facts: dict[UUID, FileFacts] = {}
        self._contents: dict[UUID, str] = {}

    async def weigh(self) -> None:
        """Learns how large everything is. Raises `InvalidValue` that tells of every file that cannot be sent."""
        self.tokens = estimate_tokens(self._system) + estimate_tokens(self._prompt) + 2 * TOKENS_PER_MESSAGE
        self.tokens += sum(estimate_tokens(text) + TOKENS_PER_MESSAGE for text in self._documents.values())
        if not self._has_files:
            return
        mentioned = once((*self.files, *(file for turn in self._turns for file in turn.files)))
        self._facts.update(await self._store.look(mentioned))
        self._check_files()
        self.sees_images = any(self._facts[file.id].is_image for file in self.files)
        self.tokens += self._tokens_of_files(sees=True)(self.files)

    def earlier_tokens(self) -> int:
        """Of the whole conversation so far, beside those of the question."""
        of_files = self._tokens_beside_the_question(sees=True)
        return sum(tokens_of(turn) + of_files(turn.files) for turn in self._turns)

    def turns_that_fit(self, info: ModelInfo) -> Sequence[Turn]:
        """The newest turns that go along to a model. Raises `ContentTooLarge` where the question alone is too much."""
        if self.tokens > info.context:
            raise self._too_large(info)
        reserved = min(info.output or _DEFAULT_ANSWER_TOKENS, info.context // 4)
        of_files = self._tokens_beside_the_question(sees=info.vision)
        return newest_that_fit(self._turns, info.context - self.tokens - reserved, of_files)

    def tokens_of_turns(self, turns: Sequence[Turn], info: ModelInfo) -> int:
        of_files = self._tokens_beside_the_question(sees=info.vision)
        return sum(tokens_of(turn) + of_files(turn.files) for turn in turns)

    async def messages(self, turns: Sequence[Turn], info: ModelInfo) -> tuple[ChatMessage, ...]:
        """For a model, with these turns before the question. Raises `InvalidValue` for a file of the question that is
        gone by now."""
        await self._read([file for turn in turns for file in turn.files] + list(self.files), info)
        shown = set(self._documents)
        messages = [ChatMessage("system", text) for text in (self._system, *self._documents.values())]
        for turn in turns:
            asked = self._message(turn.user, turn.files, shown, info)
            messages += (asked, ChatMessage("assistant", turn.assistant))
        shown_before = frozenset(shown)
        messages.append(self._message(self._prompt, self.files, shown, info))
        self.sent = tuple(
            SentFile(file.id, file.name, file.id not in shown_before, self._facts[file.id].parts) for file in self.files
        )
        return tuple(messages)

    def _check_files(self) -> None:
        problems: dict[str, list[str]] = {}
        for field, named in self._named.items():
            for file in named:
                if problem := self._problem(file, must_be_image=field == "images"):
                    problems.setdefault(field, []).append(f"{file.name}: {problem}")
        if problems:
            reasons = {field: " ".join(listed) for field, listed in problems.items()}
            listed = " ".join(dict.fromkeys(reason for field in problems.values() for reason in field))
            raise InvalidValue(f"Not all files can be sent, so no model was asked. {listed}", **reasons)

    def _problem(self, file: FileMention, *, must_be_image: bool) -> str:
        facts = self._facts.get(file.id)
        if facts is None:
            return "It is gone."
        if facts.problem or facts.is_image or not must_be_image:
            return facts.problem
        return "It is no image; name it in `files`."

    def _too_large(self, info: ModelInfo) -> ContentTooLarge:
        advice = "name a model with a larger context (see listmodels)"
        if not self.files:
            what = "The prompt and its files have" if self._documents else "The prompt has"
            return ContentTooLarge(
                f"{what} about {self.tokens} tokens; {info.id} takes {info.context}. Shorten it, or {advice}.",
                estimated_tokens=self.tokens,
                limit=info.context,
            )
        of_each = {file: self._tokens_of_files(sees=True)([file]) for file in self.files}
        largest_first = sorted(of_each, key=lambda file: -of_each[file])
        listed = ", ".join(f"{file.name} ({of_each[file]})" for file in largest_first)
        return ContentTooLarge(
            f"The prompt and its files have about {self.tokens} tokens; {info.id} takes {info.context}. Leave files "
            f"out, send parts of them, or {advice}. Tokens of the files: {listed}.",
            estimated_tokens=self.tokens,
            limit=info.context,
            files=[{"id": str(file.id), "name": file.name, "tokens": of_each[file]} for file in largest_first],
        )

    def _tokens_beside_the_question(self, *, sees: bool) -> TokensOfFiles:
        return self._tokens_of_files(sees=sees, counted=self._ids)

    def _tokens_of_files(self, *, sees: bool, counted: Iterable[UUID] = ()) -> TokensOfFiles:
        """Counts each file once, and its name each time. `sees`: whether the model takes images."""
        seen = {*counted, *self._documents}

        def tokens(files: Sequence[FileMention]) -> int:
            total = 0
            for file in files:
                facts = self._facts.get(file.id)
                total += file_blocks.tokens_around(file, facts.parts if facts else "")
                if facts is not None and file.id not in seen:
                    total += facts.tokens + TOKENS_PER_IMAGE * (facts.is_image and sees)
                seen.add(file.id)
            return total

        return tokens

    async def _read(self, files: Iterable[FileMention], info: ModelInfo) -> None:
        wanted = [
            id_
            for id_ in dict.fromkeys(file.id for file in files)
            if id_ not in self._contents
            and id_ not in self._documents
            and (facts := self._facts.get(id_)) is not None
            and not facts.problem
            and (not facts.is_image or self._shows_images(id_, info))
        ]
        if wanted:
            self._contents.update(await self._store.read(wanted))
        if gone := [file.name for file in self.files if file.id not in self._contents]:
            raise InvalidValue(f"Removed meanwhile: {', '.join(gone)}. No model was asked.", files="removed meanwhile")

    def _message(self, text: str, files: Sequence[FileMention], shown: set[UUID], info: ModelInfo) -> ChatMessage:
        if not files:
            return ChatMessage("user", text)
        parts: list[str] = []
        images: list[str] = []
        for file in files:
            facts, content = self._facts.get(file.id), self._contents.get(file.id)
            if file.id in shown:
                parts.append(file_blocks.note(file, "already in this conversation, see above"))
            elif facts is None or (content is None and not facts.problem and not facts.is_image):
                parts.append(file_blocks.note(file, "no longer kept"))
            elif facts.problem:
                parts.append(file_blocks.note(file, facts.problem))
            elif not facts.is_image:
                parts.append(file_blocks.block(file, content or "", parts=facts.parts))
                shown.add(file.id)
            elif content is not None and self._shows_images(file.id, info):
                images.append(content)
                parts.append(file_blocks.note(file, f"image {len(images)} of this message"))
                shown.add(file.id)
            else:
                parts.append(file_blocks.note(file, "an image, not shown to you"))
        return ChatMessage("user", file_blocks.message(text, parts), images=tuple(images))

    def _shows_images(self, id_: UUID, info: ModelInfo) -> bool:
        # Those of the question are sent to any model: one that sees none is refused in words (exai.providers.images).
        return info.vision or id_ in self._ids
