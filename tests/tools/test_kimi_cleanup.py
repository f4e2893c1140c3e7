"""kimi_manage_files: which copies a cleanup takes."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exai.protocol.errors import InvalidValue, NotFound, Unauthorized
from exai.providers.echo import Echo
from exai.providers.registry import Registry
from exai.tools.kimi_manage_files import MOST_FILES
from exai.tools.vendors import NoVendors, VendorCopy
from tests.tools.running import Agent, Run

_NOW = datetime.now(UTC)


@dataclass
class Copies(NoVendors):
    """The port to vendors, where Kimi keeps these."""

    kept: Sequence[VendorCopy]
    asked: list[bool] = field(default_factory=list)  # for those of the whole hub?
    removed: list[tuple[str, bool]] = field(default_factory=list)

    def check(self, vendor: str) -> None:
        assert vendor == "kimi"

    async def copies(self, vendor: str, *, hub_wide: bool) -> Sequence[VendorCopy]:
        self.asked.append(hub_wide)
        return self.kept

    async def remove(self, vendor: str, copy_id: str, *, hub_wide: bool) -> None:
        self.removed.append((copy_id, hub_wide))


def copy(name: str, *, known: bool = True, **facts: Any) -> VendorCopy:
    return VendorCopy(id=name, name=name, file_id=uuid.uuid4() if known else None, **facts)


async def manage(copies: Copies, *, is_admin: bool = True, **arguments: Any) -> Any:
    run = Run(Registry([Echo()]), vendors=copies, caller=Agent(is_admin=is_admin))
    return json.loads((await run("kimi_manage_files", **arguments)).content)


async def test_what_the_hub_does_not_know_is_an_orphan_once_no_upload_can_be_about_to_be_noted() -> None:
    copies = Copies(
        [
            copy("used", conversations=1),
            copy("unused"),
            copy("old", known=False, created_at=_NOW - timedelta(hours=2)),
            copy("fresh", known=False, created_at=_NOW - timedelta(minutes=5)),
            copy("of no known time", known=False),
        ]
    )
    await manage(copies, operation="cleanup_orphaned", hub_wide=True)
    assert copies.removed == [("unused", True), ("old", True)]


async def test_delete_takes_the_copy_of_either_id_and_never_one_that_is_not_named() -> None:
    copies = Copies([copy("known"), copy("unknown", known=False), copy("another", known=False)])
    for named in ("None", "", "nothing"):
        with pytest.raises((NotFound, InvalidValue)):
            await manage(copies, operation="delete", file_id=named, hub_wide=True)
    assert copies.removed == []
    await manage(copies, operation="delete", file_id="unknown", hub_wide=True, limit=0)  # which is for lists
    await manage(copies, operation="delete", file_id=str(copies.kept[0].file_id), hub_wide=True)
    assert copies.removed == [("unknown", True), ("known", True)]


async def test_an_expired_copy_is_one_whose_time_is_over() -> None:
    copies = Copies(
        [copy("over", expires_at=_NOW), copy("valid", expires_at=_NOW + timedelta(hours=1)), copy("without end")]
    )
    told = await manage(copies, operation="cleanup_expired")
    assert [entry["vendor_file_id"] for entry in told["removed"]] == ["over"]
    assert copies.removed == [("over", False)]


@pytest.mark.parametrize(("limit", "taken"), [(-5, 0), (0, 0), (3, 3), (10**12, MOST_FILES)])
async def test_no_more_than_the_limit_is_taken_and_all_are_counted(limit: int, taken: int) -> None:
    copies = Copies([copy(f"file-{number}") for number in range(MOST_FILES + 1)])
    told = await manage(copies, operation="cleanup_all", limit=limit, dry_run=True)
    assert (len(told["would_remove"]), told["total"]) == (taken, MOST_FILES + 1)
    assert copies.removed == []


async def test_hub_wide_is_asked_for_by_admins_only_and_never_by_itself() -> None:
    copies = Copies([])
    await manage(copies, operation="list")
    with pytest.raises(Unauthorized, match="scope admin"):
        await manage(copies, is_admin=False, operation="list", hub_wide=True)
    assert copies.asked == [False]
