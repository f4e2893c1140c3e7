"""kimi_manage_files: what Kimi keeps of a workspace's files, and what of it is to go. The hub's own files stay."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from exai.protocol.errors import HubError, InvalidValue, NotFound, Unauthorized
from exai.tools.base import Tool, ToolAnswer, json_answer
from exai.tools.context import ToolContext
from exai.tools.vendor_input import VendorInput
from exai.tools.vendors import VendorCopy

MOST_FILES = 1000
# What the hub does not know may be an upload of another process that is just about to be noted.
_GRACE = timedelta(hours=1)


class KimiManageFilesInput(VendorInput):
    operation: Literal["list", "delete", "cleanup_all", "cleanup_orphaned", "cleanup_expired"] = Field(
        description="orphaned: no conversation uses the file. expired: the copy is too old to be used again."
    )
    file_id: str | None = Field(None, description="For delete: the id at Kimi, or the hub's.")
    limit: int = Field(100, description="How many files to list or remove, at most.")
    dry_run: bool = Field(False, description="Only tell what would be removed.")
    hub_wide: bool = Field(False, description="All that Kimi keeps for this hub; needs the scope admin.")


class KimiManageFiles(Tool[KimiManageFilesInput]):
    name = "kimi_manage_files"
    description = "List or remove the copies that Kimi keeps of this workspace's files; the hub's own files stay."
    input_model = KimiManageFilesInput

    async def run(self, arguments: KimiManageFilesInput, context: ToolContext) -> ToolAnswer:
        if arguments.hub_wide and not context.caller.is_admin:
            raise Unauthorized("hub_wide needs a client with the scope admin; leave it out for your own workspace.")
        if arguments.operation == "delete" and not arguments.file_id:
            raise InvalidValue("delete needs file_id.", file_id="must be given for delete")
        context.vendors.check("kimi")
        copies = await context.vendors.copies("kimi", hub_wide=arguments.hub_wide)
        now = datetime.now(UTC)
        if arguments.operation == "list":
            wanted = copies
        elif arguments.operation == "delete":
            wanted = [copy for copy in copies if arguments.file_id in _ids(copy)]
            if not wanted:
                raise NotFound(f"Kimi keeps no file {(arguments.file_id or '')[:100]} of this workspace.")
        else:
            wanted = [copy for copy in copies if _TO_CLEAN[arguments.operation](copy, now)]
        # What is named is deleted, whatever the limit: an answer of success that removed nothing would mislead.
        taken = wanted if arguments.operation == "delete" else wanted[: max(0, min(arguments.limit, MOST_FILES))]
        about = {
            "operation": arguments.operation,
            "scope": "hub" if arguments.hub_wide else "workspace",
            "total": len(wanted),
        }
        if arguments.operation == "list":
            return json_answer({**about, "files": [_told(copy, now) for copy in taken]})
        if arguments.dry_run:
            return json_answer({**about, "dry_run": True, "would_remove": [_told(copy, now) for copy in taken]})
        removed, failed = await _remove(taken, arguments, context)
        return json_answer(
            {**about, "dry_run": False, "removed": [_told(copy, now) for copy in removed], "failed": failed}
        )


def _ids(copy: VendorCopy) -> tuple[str, ...]:
    # What the hub does not know has the vendor's alone: "None" must name nothing.
    return (copy.id,) if copy.file_id is None else (copy.id, str(copy.file_id))


def _is_orphaned(copy: VendorCopy, now: datetime) -> bool:
    if copy.file_id is not None:
        return copy.conversations == 0
    return copy.created_at is not None and copy.created_at < now - _GRACE


def _is_expired(copy: VendorCopy, now: datetime) -> bool:
    return copy.expires_at is not None and copy.expires_at <= now


_TO_CLEAN: Mapping[str, Callable[[VendorCopy, datetime], bool]] = {
    "cleanup_all": lambda copy, now: True,
    "cleanup_orphaned": _is_orphaned,
    "cleanup_expired": _is_expired,
}


async def _remove(
    copies: Sequence[VendorCopy], arguments: KimiManageFilesInput, context: ToolContext
) -> tuple[list[VendorCopy], list[dict[str, Any]]]:
    removed: list[VendorCopy] = []
    failed: list[dict[str, Any]] = []
    for copy in copies:
        await context.progress(f"Removing {len(removed) + len(failed) + 1} of {len(copies)} at kimi")
        try:
            await context.vendors.remove("kimi", copy.id, hub_wide=arguments.hub_wide)
            removed.append(copy)
        except HubError as error:
            if arguments.operation == "delete":
                raise
            failed.append({"vendor_file_id": copy.id, "error": error.message})
    return removed, failed


def _told(copy: VendorCopy, now: datetime) -> dict[str, Any]:
    return {
        "file_id": copy.file_id,
        "vendor_file_id": copy.id,
        "filename": copy.name,
        "size_bytes": copy.size_bytes,
        "created_at": copy.created_at,
        "expires_at": copy.expires_at,
        "expired": _is_expired(copy, now),
        "conversations": copy.conversations,
        "workspace": copy.workspace,
    }
