"""Bytes and vendors' copies go when their notes are due, and stay noted until they are gone."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from conversations.files.blobs import Blobs
from conversations.files.cleanup import (
    BytesRemoved,
    CopyNotRemoved,
    InUse,
    file_remove,
    noted_bytes_remove,
    orphaned_files,
    orphaned_files_remove,
)
from conversations.files.errors import StorageAway
from conversations.models import Conversation, ConversationFile, FileRemoval, StoredFile
from conversations.workspaces import WorkspaceContents, workspace_remove
from exai.access import client_create
from exai.celery import app as celery
from exai.settings.hub import parse
from tests.files.contents import blobs_below

pytestmark = pytest.mark.django_db


def put(blobs: Blobs, workspace: str, content: bytes, *, copies: Mapping[str, str] | None = None) -> StoredFile:
    """A stored file, made by hand."""
    staged = blobs.staging.create()
    staged.write(content)
    sha256 = content.hex().ljust(64, "0")
    path = blobs.new_path(workspace, sha256)
    blobs.put(staged, path)
    staged.discard()
    return StoredFile.objects.create(
        workspace=workspace,
        storage_path=path,
        original_name="a.txt",
        mime_type="text/plain",
        size_bytes=len(content),
        sha256=sha256,
        provider_file_ids=dict(copies or {}),
    )


def use(file: StoredFile) -> Conversation:
    client = client_create(
        name=f"c{StoredFile.objects.count()}-{Conversation.objects.count()}", workspace=file.workspace
    )[0]
    conversation = Conversation.objects.create(client=client, workspace=file.workspace, title="t")
    ConversationFile.objects.create(conversation=conversation, file=file)
    return conversation


class Vendors:
    """Those that hold copies; `failing` ones do not remove theirs."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.removed: list[tuple[str, str]] = []

    def remove(self, vendor: str, copy_id: str) -> None:
        if vendor in self.failing:
            raise CopyNotRemoved("it does not answer")
        self.removed.append((vendor, copy_id))


def test_a_removed_file_takes_its_bytes_along(blobs: Blobs, tmp_path: Path) -> None:
    file, kept = put(blobs, "w", b"gone"), put(blobs, "w", b"kept")
    assert file_remove(file_id=file.pk, workspace="w", unlink=False) is not None
    assert noted_bytes_remove(blobs=blobs, vendors=Vendors()) == BytesRemoved(removed=1, failed=0)
    assert blobs_below(tmp_path / "files") == {kept.storage_path}
    assert FileRemoval.objects.count() == 0


def test_a_file_in_use_or_of_another_workspace_is_not_removed(blobs: Blobs) -> None:
    file = put(blobs, "w", b"used")
    use(file)
    use(file)
    with pytest.raises(InUse) as refused:
        file_remove(file_id=file.pk, workspace="w", unlink=False)
    assert refused.value.conversations == 2
    assert file_remove(file_id=file.pk, workspace="other", unlink=True) is None
    assert (StoredFile.objects.count(), FileRemoval.objects.count()) == (1, 0)
    assert file_remove(file_id=file.pk, workspace="w", unlink=True) is not None
    assert (StoredFile.objects.count(), ConversationFile.objects.count()) == (0, 0)


def test_orphans_are_listed_before_and_removed_past_their_grace(blobs: Blobs) -> None:
    old, young, used = put(blobs, "w", b"old"), put(blobs, "w", b"young"), put(blobs, "w", b"used")
    StoredFile.objects.filter(pk__in=[old.pk, used.pk]).update(created_at=timezone.now() - timedelta(hours=25))
    use(used)
    would = orphaned_files(grace=timedelta(hours=24))
    assert [(file.id, file.name, file.size_bytes) for file in would] == [(old.pk, "a.txt", 3)]
    assert orphaned_files_remove(grace=timedelta(hours=24)) == would
    assert set(StoredFile.objects.values_list("pk", flat=True)) == {young.pk, used.pk}


def test_the_hourly_task_removes_orphans_their_bytes_and_leftovers(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parse({"EXAI_FILE_GRACE_HOURS": "2"})
    monkeypatch.setattr("conversations.tasks.hub_settings", lambda: settings)
    monkeypatch.setattr("conversations.tasks.hub_blobs", lambda: blobs)
    old, young = put(blobs, "w", b"old"), put(blobs, "w", b"young")
    StoredFile.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=3))
    (tmp_path / "files" / ".incoming" / "left").write_bytes(b"half")
    scheduled = celery.conf.beat_schedule["conversations.remove_orphaned_files"]["task"]
    celery.loader.import_default_modules()
    celery.tasks[scheduled]()
    assert blobs_below(tmp_path / "files") == {young.storage_path}
    assert list(StoredFile.objects.all()) == [young]


def test_a_note_that_is_not_due_is_left_alone(blobs: Blobs, tmp_path: Path) -> None:
    path = put(blobs, "w", b"coming").storage_path
    StoredFile.objects.all().delete()
    FileRemoval.objects.create(storage_path=path, due_at=timezone.now() + timedelta(hours=1))
    assert noted_bytes_remove(blobs=blobs, vendors=Vendors()) == BytesRemoved(0, 0)
    assert blobs_below(tmp_path / "files") == {path}


def test_bytes_that_a_file_names_again_are_kept_though_noted(blobs: Blobs, tmp_path: Path) -> None:
    file = put(blobs, "w", b"restored")
    FileRemoval.objects.create(storage_path=file.storage_path, due_at=timezone.now())
    noted_bytes_remove(blobs=blobs, vendors=Vendors())
    assert blobs_below(tmp_path / "files") == {file.storage_path}
    assert FileRemoval.objects.count() == 0


def test_bytes_that_are_gone_already_are_no_failure(blobs: Blobs) -> None:
    FileRemoval.objects.create(storage_path="w/00/nothing", due_at=timezone.now())
    assert noted_bytes_remove(blobs=blobs, vendors=Vendors()) == BytesRemoved(removed=1, failed=0)


@pytest.mark.parametrize("path", ["{outside}/kept.txt", "../kept.txt"])
def test_a_path_that_leads_out_of_the_storage_is_not_followed_and_holds_nothing_up(
    blobs: Blobs, tmp_path: Path, path: str
) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("of somebody else")
    FileRemoval.objects.create(storage_path=path.format(outside=tmp_path), due_at=timezone.now() - timedelta(days=1))
    file_remove(file_id=put(blobs, "w", b"mine").pk, workspace="w", unlink=False)
    assert noted_bytes_remove(blobs=blobs, vendors=Vendors()) == BytesRemoved(removed=2, failed=0)
    assert blobs_below(tmp_path / "files") == set()
    assert kept.exists()


def test_what_cannot_be_removed_is_told_and_tried_again_later_and_later(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(blobs, "w", b"stuck")
    file_remove(file_id=file.pk, workspace="w", unlink=False)

    def fail(path: str) -> None:
        raise StorageAway

    monkeypatch.setattr(blobs, "delete", fail)
    pauses = []
    for tries in (1, 2, 3):
        assert noted_bytes_remove(blobs=blobs, vendors=Vendors()) == BytesRemoved(removed=0, failed=1)
        assert noted_bytes_remove(blobs=blobs, vendors=Vendors()) == BytesRemoved(0, 0)  # not at once
        note = FileRemoval.objects.get()
        assert (note.tries, "cannot be reached" in note.problem) == (tries, True)
        pauses.append(note.due_at - timezone.now())
        FileRemoval.objects.update(due_at=timezone.now())
    assert pauses == sorted(pauses)
    assert pauses[0] > timedelta(minutes=1)
    monkeypatch.undo()
    assert noted_bytes_remove(blobs=blobs, vendors=Vendors()) == BytesRemoved(removed=1, failed=0)


def test_one_note_that_fails_does_not_hold_up_the_others(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = put(blobs, "w", b"stuck")
    for number in range(30):
        file_remove(file_id=put(blobs, "w", bytes([number])).pk, workspace="w", unlink=False)
    file_remove(file_id=stuck.pk, workspace="w", unlink=False)
    delete = blobs.delete

    def fail_one(path: str) -> None:
        if path == stuck.storage_path:
            raise StorageAway
        delete(path)

    monkeypatch.setattr(blobs, "delete", fail_one)
    assert noted_bytes_remove(blobs=blobs, vendors=Vendors()) == BytesRemoved(removed=30, failed=1)


def test_vendors_copies_are_removed_with_the_bytes_and_those_that_fail_stay_noted(blobs: Blobs) -> None:
    file = put(blobs, "w", b"shared", copies={"kimi": "f-1", "glm": "g-2"})
    file_remove(file_id=file.pk, workspace="w", unlink=False)
    vendors = Vendors("glm")
    assert noted_bytes_remove(blobs=blobs, vendors=vendors) == BytesRemoved(removed=0, failed=1)
    note = FileRemoval.objects.get()
    assert (vendors.removed, note.provider_file_ids) == ([("kimi", "f-1")], {"glm": "g-2"})
    assert "glm: it does not answer" in note.problem
    FileRemoval.objects.update(due_at=timezone.now())
    vendors.failing.clear()
    assert noted_bytes_remove(blobs=blobs, vendors=vendors) == BytesRemoved(removed=1, failed=0)
    assert vendors.removed == [("kimi", "f-1"), ("glm", "g-2")]
    assert FileRemoval.objects.count() == 0


def test_a_workspace_is_removed_with_all_that_it_keeps_and_no_other(blobs: Blobs, tmp_path: Path) -> None:
    files = [put(blobs, "w", content, copies={"kimi": "f"}) for content in (b"1", b"22")]
    conversation = use(files[0])
    conversation.messages.create(position=0, role="user", content="hello", idempotency_key="k")
    other = put(blobs, "other", b"kept")
    use(other)
    assert workspace_remove(workspace="w", blobs=blobs, vendors=Vendors()) == WorkspaceContents(
        conversations=1, messages=1, files=2, bytes=3, vendor_copies=2
    )
    assert workspace_remove(workspace="w", blobs=blobs, vendors=Vendors()) == WorkspaceContents(0, 0, 0, 0, 0)
    assert list(StoredFile.objects.all()) == [other]
    assert Conversation.objects.get().workspace == "other"
    assert blobs_below(tmp_path / "files") == {other.storage_path}
    assert FileRemoval.objects.count() == 0
