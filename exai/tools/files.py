"""Files as tools know them: how a caller names them, what is known of them, and the port to whoever keeps them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, Protocol
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from exai.protocol.errors import InvalidValue, NotFound
from exai.protocol.values import FileMention


class InlineFile(BaseModel):
    """A text that comes with the call."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    name: str
    content: str


# Strings first, and no further than the first wrong item: millions of them must not cost seconds of the event loop.
FileReference = Annotated[str | InlineFile, Field(union_mode="left_to_right")]
FileReferences = Annotated[list[FileReference], Field(fail_fast=True)]

Encoding = Literal["text", "base64"]
References = Mapping[str, Sequence[FileReference]]  # field of the call -> what it names
Mentions = Mapping[str, Sequence[FileMention]]  # field of the call -> files of the hub


def once(files: Iterable[FileMention]) -> tuple[FileMention, ...]:
    """Each file once, by its first name."""
    named: dict[UUID, FileMention] = {}
    for file in files:
        named.setdefault(file.id, file)
    return tuple(named.values())


class FileFacts(msgspec.Struct, frozen=True):
    """What is known of a file before it is sent. `tokens`: an estimate for its text as it is sent. `parts`: what of it
    was read, where not all was. `problem`: why it cannot be read; empty: it can."""

    tokens: int = 0
    is_image: bool = False
    parts: str = ""
    problem: str = ""


class Download(msgspec.Struct, frozen=True):
    """A file whole. `content`: its text, or its bytes in base64."""

    id: UUID
    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    content: str


class Files(Protocol):
    """The files of one call's workspace. All of it raises `ServiceUnavailable` where they are out of reach."""

    async def take(self, references: References) -> Mapping[str, tuple[FileMention, ...]]:
        """The files that a caller names, by the fields that name them; what comes with the call is stored. A content
        that a field names twice is there once. Raises `InvalidValue` that tells of every reference that is wrong."""
        ...

    async def look(self, mentions: Sequence[FileMention]) -> Mapping[UUID, FileFacts]:
        """Of the files that there are; each is read now, unless it was before."""
        ...

    async def read(self, ids: Sequence[UUID]) -> Mapping[UUID, str]:
        """Text as a model is sent it, the lines of code numbered; of an image its `data:` URL. Without those that are
        gone, or cannot be read."""
        ...

    async def download(self, file_id: UUID, *, encoding: Encoding, most_bytes: int) -> Download:
        """Raises `NotFound`, `ContentTooLarge` beyond so many bytes, and `InvalidValue` for the text of what is no
        text."""
        ...


class NoFiles:
    """Where there is no store: whatever is named is refused."""

    async def take(self, references: References) -> Mapping[str, tuple[FileMention, ...]]:
        named = [field for field, listed in references.items() if listed]
        if named:
            raise InvalidValue("This hub keeps no files.", **dict.fromkeys(named, "not taken here"))
        return dict.fromkeys(references, ())

    async def look(self, mentions: Sequence[FileMention]) -> Mapping[UUID, FileFacts]:
        return {}

    async def read(self, ids: Sequence[UUID]) -> Mapping[UUID, str]:
        return {}

    async def download(self, file_id: UUID, *, encoding: Encoding, most_bytes: int) -> Download:
        raise NotFound("This hub keeps no files.")
