"""The port to files, kept in a dictionary: what tools ask of it is real, what it holds is the test's."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from exai.protocol.errors import InvalidValue
from exai.protocol.values import FileMention
from exai.providers.tokens import estimate_tokens
from exai.tools.files import Download, Encoding, FileFacts, References


@dataclass
class FilesInMemory:
    kept: dict[UUID, tuple[FileFacts, str]] = field(default_factory=dict)
    taken: list[References] = field(default_factory=list)
    looked: list[list[UUID]] = field(default_factory=list)
    read_ids: list[list[UUID]] = field(default_factory=list)
    names: dict[UUID, str] = field(default_factory=dict)

    def add(self, name: str, text: str = "", *, image: str = "", problem: str = "", parts: str = "") -> FileMention:
        facts = FileFacts(0 if image else estimate_tokens(text), bool(image), parts, problem)
        file = FileMention(uuid.uuid4(), name)
        self.kept[file.id] = facts, image or text
        self.names[file.id] = name
        return file

    async def take(self, references: References) -> Mapping[str, tuple[FileMention, ...]]:
        self.taken.append(references)
        return {name: tuple(self._one(one) for one in named) for name, named in references.items()}

    async def look(self, mentions: Sequence[FileMention]) -> Mapping[UUID, FileFacts]:
        self.looked.append([file.id for file in mentions])
        return {file.id: self.kept[file.id][0] for file in mentions if file.id in self.kept}

    async def read(self, ids: Sequence[UUID]) -> Mapping[UUID, str]:
        self.read_ids.append(list(ids))
        return {id_: self.kept[id_][1] for id_ in ids if id_ in self.kept}

    async def download(self, file_id: UUID, *, encoding: Encoding, most_bytes: int) -> Download:
        raise NotImplementedError  # no tool that is tested with these files downloads one

    def _one(self, reference: object) -> FileMention:
        if isinstance(reference, str):
            id_ = UUID(reference)
            if id_ not in self.kept:
                raise InvalidValue("There is no such file.", files="unknown")
            return FileMention(id_, self.names[id_])
        name, content = reference.name, reference.content  # type: ignore[attr-defined]
        return self.add(name, content)
