"""Copies at the vendors: one each, used until it may have expired, and gone with the file."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from msgspec.structs import replace

from conversations.files.cleanup import CopyNotRemoved
from conversations.files.records import FileRecord
from conversations.files.store import FileStore
from conversations.files.vendor_copies import VendorCopies
from conversations.files.vendor_removal import ConfiguredVendors
from exai.database import Database, DatabaseAway, Parameters
from exai.protocol.errors import NotFound, ProviderFailed
from exai.providers.files import VendorFiles
from exai.providers.kimi_files import kimi_files
from exai.settings.hub import parse
from tests.files.contents import new_workspace, pieces
from tests.providers.addressed import endpoint
from tests.upstream import Upstream

_DAY_S = 86_400.0


@pytest.fixture
async def kimi(upstream: Upstream, model: str) -> AsyncIterator[VendorFiles]:
    files = kimi_files(endpoint("kimi", upstream.url, model))
    yield files
    await files.close()


@pytest.fixture
async def file(store: FileStore) -> FileRecord:
    record, _ = await store.store(pieces(b"abc"), workspace=new_workspace(), name="a.txt")
    return record


@pytest.fixture
def copies(pool: Database, store: FileStore) -> VendorCopies:
    return VendorCopies(pool, store, valid_s=_DAY_S)


def row_of(database: psycopg.Connection, file: FileRecord) -> tuple[dict[str, str], dict[str, Any]]:
    row = database.execute("SELECT provider_file_ids, metadata FROM files WHERE id = %s", (file.id,)).fetchone()
    assert row is not None
    return row[0], row[1]


async def ids_at(vendor: VendorFiles) -> list[str]:
    return [copy.id for copy in await vendor.list()]


async def test_a_file_is_uploaded_once_however_many_want_it(
    pool: Database,
    store: FileStore,
    copies: VendorCopies,
    upstream: Upstream,
    kimi: VendorFiles,
    model: str,
    file: FileRecord,
    database: psycopg.Connection,
) -> None:
    upstream.behave(model, delay_s=0.3)
    of_another_process = VendorCopies(pool, store, valid_s=_DAY_S)
    found = await asyncio.gather(*(each.id_at(kimi, file) for each in (copies, of_another_process) * 3))
    found.append(await copies.id_at(kimi, file))
    upstream.behave(model)
    assert await ids_at(kimi) == [found[0]]
    assert set(found) == {found[0]}
    ids, metadata = row_of(database, file)
    assert ids == {"kimi": found[0]}
    ends = datetime.fromisoformat(metadata["provider_expiry"]["kimi"])
    assert timedelta(hours=23) < ends - datetime.now(UTC) < timedelta(hours=25)
    assert "kimi" not in metadata["provider_claims"]


async def test_an_expired_copy_is_replaced_and_removed(
    pool: Database, store: FileStore, copies: VendorCopies, kimi: VendorFiles, file: FileRecord
) -> None:
    expired = await VendorCopies(pool, store, valid_s=-1).id_at(kimi, file)
    fresh = await copies.id_at(kimi, file)
    assert fresh != expired
    assert await ids_at(kimi) == [fresh]


async def test_a_copy_that_the_vendor_has_lost_is_made_anew(
    copies: VendorCopies, kimi: VendorFiles, file: FileRecord
) -> None:
    lost = await copies.id_at(kimi, file)
    await kimi.delete(lost)
    await copies.forget("kimi", file, lost)
    fresh = await copies.id_at(kimi, file)
    await copies.forget("kimi", file, lost)  # by somebody who heard of it late
    assert await copies.id_at(kimi, file) == fresh


async def test_a_failed_upload_holds_nobody_up(
    copies: VendorCopies, upstream: Upstream, kimi: VendorFiles, model: str, file: FileRecord
) -> None:
    upstream.behave(model, status=503)
    with pytest.raises(ProviderFailed):
        await copies.id_at(kimi, file)
    upstream.behave(model)
    async with asyncio.timeout(5):
        assert [await copies.id_at(kimi, file)] == await ids_at(kimi)


async def test_a_cancelled_upload_holds_nobody_up(
    copies: VendorCopies, upstream: Upstream, kimi: VendorFiles, model: str, file: FileRecord
) -> None:
    upstream.behave(model, delay_s=30)
    uploading = asyncio.create_task(copies.id_at(kimi, file))
    await asyncio.to_thread(upstream.wait_for_requests, model, 1)
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    upstream.behave(model)
    async with asyncio.timeout(5):
        await copies.id_at(kimi, file)


class Pausing(Database):
    """Stands still before the copy's id is noted. `away`: and does not get through then."""

    def __init__(self, pool: Database, *, away: bool = False) -> None:
        self.noting = asyncio.Event()
        self.go_on = asyncio.Event()
        self._pool_of_all = pool
        self._noting_away = away

    async def fetch(
        self, statement: LiteralString, parameters: Parameters = (), *, within_s: float
    ) -> list[tuple[Any, ...]]:
        if "RETURNING before.copy" in statement:
            self.noting.set()
            await self.go_on.wait()
            if self._noting_away:
                raise DatabaseAway
        return await self._pool_of_all.fetch(statement, parameters, within_s=within_s)


async def test_a_copy_is_noted_though_the_call_is_cancelled_meanwhile(
    pool: Database, store: FileStore, kimi: VendorFiles, file: FileRecord, database: psycopg.Connection
) -> None:
    pausing = Pausing(pool)
    uploading = asyncio.create_task(VendorCopies(pausing, store, valid_s=_DAY_S).id_at(kimi, file))
    await asyncio.wait_for(pausing.noting.wait(), 5)
    uploading.cancel()
    await asyncio.sleep(0)
    pausing.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert row_of(database, file)[0] == {"kimi": (await ids_at(kimi))[0]}


async def test_a_copy_that_cannot_be_noted_is_removed_again(
    pool: Database, store: FileStore, kimi: VendorFiles, file: FileRecord
) -> None:
    pausing = Pausing(pool, away=True)
    pausing.go_on.set()
    with pytest.raises(DatabaseAway):
        await VendorCopies(pausing, store, valid_s=_DAY_S).id_at(kimi, file)
    assert await ids_at(kimi) == []


async def test_the_claim_of_a_process_that_died_is_taken_over(
    copies: VendorCopies, kimi: VendorFiles, file: FileRecord, database: psycopg.Connection
) -> None:
    database.execute(
        "UPDATE files SET metadata = jsonb_build_object('provider_claims', jsonb_build_object('kimi',"
        " now() + interval '0.3 s')) WHERE id = %s",
        (file.id,),
    )
    async with asyncio.timeout(10):
        assert [await copies.id_at(kimi, file)] == await ids_at(kimi)


async def test_the_claim_lasts_as_long_as_the_upload(
    pool: Database, store: FileStore, upstream: Upstream, kimi: VendorFiles, model: str, file: FileRecord
) -> None:
    upstream.behave(model, delay_s=0.9)
    found = await asyncio.gather(
        *(VendorCopies(pool, store, valid_s=_DAY_S, claim_s=0.3).id_at(kimi, file) for _ in range(3))
    )
    upstream.behave(model)
    assert await ids_at(kimi) == [found[0]]


async def test_a_file_that_is_removed_meanwhile_leaves_no_copy(
    copies: VendorCopies,
    upstream: Upstream,
    kimi: VendorFiles,
    model: str,
    file: FileRecord,
    database: psycopg.Connection,
) -> None:
    upstream.behave(model, delay_s=0.3)
    uploading = asyncio.create_task(copies.id_at(kimi, file))
    await asyncio.to_thread(upstream.wait_for_requests, model, 1)
    database.execute("DELETE FROM files WHERE id = %s", (file.id,))
    upstream.behave(model)
    with pytest.raises(NotFound, match="has been removed"):
        await uploading
    assert await ids_at(kimi) == []


async def test_a_file_of_another_workspace_is_not_there(
    copies: VendorCopies, kimi: VendorFiles, file: FileRecord
) -> None:
    with pytest.raises(NotFound):
        await copies.id_at(kimi, replace(file, workspace=new_workspace()))
    assert await ids_at(kimi) == []


@pytest.mark.django_db
class TestRemoval:
    """On the tests' own database, where no endpoint is entered."""

    @staticmethod
    def vendors(upstream: Upstream, key: str) -> ConfiguredVendors:
        return ConfiguredVendors(
            parse(
                {
                    "EXAI_DATA_DIR": os.environ["EXAI_DATA_DIR"],
                    "MOONSHOT_API_KEY": key,
                    "KIMI_API_URL": upstream.url,
                }
            )
        )

    def test_a_copy_is_removed_and_that_it_is_gone_already_is_no_error(self, upstream: Upstream, model: str) -> None:
        async def upload() -> str:
            kimi = kimi_files(endpoint("kimi", upstream.url, model))
            made = await kimi.upload(name="a.txt", size_bytes=1, content=pieces(b"x"))
            await kimi.close()
            return made.id

        copy = asyncio.run(upload())
        vendors = self.vendors(upstream, model)
        vendors.remove("kimi", copy)
        vendors.remove("kimi", copy)
        deleted = [request for request in upstream.requests(model) if request.method == "DELETE"]
        assert [request.path for request in deleted] == [f"/v1/files/{copy}"] * 2

    def test_a_vendor_that_fails_says_why(self, upstream: Upstream, model: str) -> None:
        upstream.behave(model, status=503)
        with pytest.raises(CopyNotRemoved, match="kimi"):
            self.vendors(upstream, model).remove("kimi", "file-1")

    def test_a_vendor_that_is_not_configured_is_not_asked(self, upstream: Upstream, model: str) -> None:
        self.vendors(upstream, model).remove("glm", "file-1")
        assert upstream.requests(model) == []
