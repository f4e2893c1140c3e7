"""What a call names as files: which forms there are, what is refused, what is stored. The store is the test's."""

import uuid
from collections.abc import AsyncIterable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from conversations.files.errors import FileTooLarge, too_many_files
from conversations.files.records import FileRecord
from conversations.files.store import FileStore
from exai.gateway.call_files import MOST_FILES, CallFiles
from exai.gateway.data_urls import parse_data_url
from exai.gateway.file_reader import FileReader
from exai.protocol.errors import HubError, InvalidValue
from exai.tools.files import FileReference, InlineFile


@dataclass
class Store:
    """Keeps contents in a dictionary, as the real one does on disk: one content once a workspace."""

    by_content: dict[tuple[str, bytes], FileRecord] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuses: HubError | None = None

    async def store(self, content: AsyncIterable[bytes], *, workspace: str, name: str) -> tuple[FileRecord, bool]:
        self.asked.append(f"store {name}")
        if self.refuses is not None:
            raise self.refuses
        key = workspace, b"".join([piece async for piece in content])
        known = key in self.by_content
        if not known:
            self.by_content[key] = FileRecord(uuid.uuid4(), workspace, name, "", 0, "", "", datetime.now(UTC))
        return self.by_content[key], known

    async def find(self, ids: Collection[UUID], *, workspace: str) -> dict[UUID, FileRecord]:
        self.asked.append(f"find {len(ids)}")
        return {file.id: file for file in self.by_content.values() if file.id in ids and file.workspace == workspace}


@pytest.fixture
def store() -> Store:
    return Store()


def files_of(store: Store, *roots: Path, workspace: str = "mine") -> CallFiles:
    async def progress(_message: str) -> None:
        raise AssertionError("nothing is read here")

    reader = cast(FileReader, None)
    return CallFiles(
        store=cast(FileStore, store),
        reader=reader,
        workspace=workspace,
        allowed=True,
        roots=roots,
        progress=progress,
    )


def inline(name: str, content: str) -> InlineFile:
    return InlineFile(name=name, content=content)


async def refused(taker: CallFiles, **references: list[FileReference]) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        await taker.take(references)
    return caught.value


async def test_a_call_without_files_asks_nobody(store: Store) -> None:
    assert await files_of(store).take({"files": (), "images": []}) == {"files": (), "images": ()}
    assert store.asked == []


async def test_ids_of_all_fields_are_found_at_once(store: Store) -> None:
    stored = await files_of(store).take({"files": [inline("a.py", "a"), inline("b.py", "b")]})
    first, second = stored["files"]
    store.asked.clear()
    ids: list[FileReference] = [str(first.id), str(second.id).upper(), str(first.id)]
    taken = await files_of(store).take({"files": ids, "images": ids[:1]})
    assert taken == {"files": (first, second), "images": (first,)}
    assert store.asked == ["find 2"]


async def test_a_content_that_is_named_twice_is_there_once_by_its_first_name(store: Store) -> None:
    same: list[FileReference] = [inline("a.py", "x"), inline("b.py", "x"), "data:;name=c.py,x", inline("d.py", "y")]
    taken = await files_of(store).take({"files": same})
    assert [file.name for file in taken["files"]] == ["a.py", "d.py"]


async def test_the_name_is_the_one_that_this_call_gives(store: Store) -> None:
    [first] = (await files_of(store).take({"files": [inline("a.py", "x")]}))["files"]
    [again] = (await files_of(store).take({"files": [inline("../z\n.py", "x")]}))["files"]
    assert (again.id, again.name) == (first.id, "z.py")


async def test_one_wrong_reference_keeps_all_others_out(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    wrong: list[FileReference] = [inline("a.py", "x"), str(uuid.uuid4()), str(tmp_path / "a.py"), "data:,x", "b.py"]
    error = await refused(files_of(store, tmp_path), files=wrong)
    assert list(error.details) == ["files.1", "files.4"]
    assert store.by_content == {}


async def test_the_words_for_an_unknown_file_are_those_for_another_workspace_s(store: Store) -> None:
    [file] = (await files_of(store, workspace="theirs").take({"files": [inline("a.py", "x")]}))["files"]
    unknown = str(uuid.uuid4())
    foreign_words = str(await refused(files_of(store), files=[str(file.id)])).replace(str(file.id), "ID")
    assert foreign_words == str(await refused(files_of(store), files=[unknown])).replace(unknown, "ID")


async def test_a_call_names_so_many_files_and_no_more(store: Store) -> None:
    texts: list[FileReference] = [inline("a", str(number)) for number in range(MOST_FILES)]
    assert len((await files_of(store).take({"files": texts}))["files"]) == MOST_FILES
    error = await refused(files_of(store), files=texts, images=[inline("a", "x")])
    assert set(error.details) == {"files", "images"}


async def test_the_reasons_of_many_wrong_references_fit_a_message(store: Store) -> None:
    error = await refused(files_of(store), files=["/" + "x" * 10_000 for _ in range(MOST_FILES)])
    assert len(error.details) == MOST_FILES
    assert len(error.message) < 5_000
    assert "40 more" in error.message


@pytest.mark.parametrize("refusal", [FileTooLarge(5), too_many_files(3)])
async def test_what_the_store_refuses_is_named(store: Store, refusal: HubError) -> None:
    store.refuses = refusal
    with pytest.raises(type(refusal)) as caught:
        await files_of(store).take({"files": [inline("a.py", "x")]})
    assert caught.value.details["file"] == "a.py"


async def test_a_file_of_an_allowed_folder_is_stored(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "large.bin").write_bytes(content)
    [file] = (await files_of(store, tmp_path).take({"files": [str(tmp_path / "large.bin")]}))["files"]
    assert file.name == "large.bin"
    assert store.by_content["mine", content].id == file.id


@pytest.mark.parametrize(
    ("url", "name", "content"),
    [
        ("data:,A%20brief%20note", "inline", b"A brief note"),
        ("data:text/plain;charset=utf-8,gr%C3%BCn", "inline", "grün".encode()),
        ("data:text/plain,grün", "inline", "grün".encode()),
        ("DATA:image/png;BASE64,iVBORw0KGgo=", "inline", b"\x89PNG\r\n\x1a\n"),
        ("data:;base64,iVBORw0KGgo", "inline", b"\x89PNG\r\n\x1a\n"),
        ("data:;base64,_-8%3D", "inline", b"\xff\xef"),
        ("data:;base64,AA\n AA", "inline", b"\0\0\0"),
        ("data:text/plain;name=a%20b.txt;base64,QQ==", "a b.txt", b"A"),
        ('data:text/plain;filename="q.txt",A', "q.txt", b"A"),
        ("data:;base64,", "inline", b""),
    ],
)
def test_a_data_url_holds_a_file(url: str, name: str, content: bytes) -> None:
    inline = parse_data_url(url)
    assert (inline.name, inline.content) == (name, content)


@pytest.mark.parametrize(
    "url",
    ["data:", "data:text/plain", "data:;base64,A", "data:;base64,????", "data:;base64,grün", f"data:{'x' * 2000},A"],
)
def test_what_is_no_data_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue):
        parse_data_url(url)


def test_a_data_url_that_would_take_much_to_decode_is_refused() -> None:
    with pytest.raises(InvalidValue, match="base64"):
        parse_data_url("data:," + "%" * 2_000_000)
    assert len(parse_data_url("data:," + "x" * 2_000_000).content) == 2_000_000


def test_an_inline_file_may_bring_more_than_is_asked_for(store: Store) -> None:
    extra: dict[str, Any] = {"name": "a", "content": "x", "tags": ["not", "hashable"]}
    assert InlineFile.model_validate(extra).name == "a"
