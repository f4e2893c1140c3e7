"""Files of the hub's machine that clients name by path: never one that the operator has not allowed."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from exai.protocol.errors import InvalidValue
from exai.server_paths import open_allowed

OUTSIDE = "is no file under the folders that this hub may read from"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "notes.txt").write_text("what is allowed")
    (tmp_path / "secret.txt").write_text("what is not")
    return folder


def refusal(text: str, *roots: Path) -> str:
    """The reason, which stands in the error's details without the path."""
    with pytest.raises(InvalidValue) as raised:
        open_allowed(text, roots).close()
    return str(raised.value.details["path"])


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_a_file_under_an_allowed_folder_is_opened(root: Path) -> None:
    with open_allowed(f"{root}/inner/notes.txt", [root]) as file:
        assert file.read() == b"what is allowed"
        assert file.name == str(root.resolve() / "inner" / "notes.txt")


def test_the_second_of_two_allowed_folders_counts_as_well(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with open_allowed(f"{root}/inner/notes.txt", [other, root]) as file:
        assert file.read() == b"what is allowed"


def test_what_is_closed_below_an_allowed_folder_is_as_if_it_were_not(root: Path) -> None:
    (root / "link").symlink_to(root / "inner")
    (root / ".env").write_text("a key")
    closed = [root / "link", root / ".env"]
    for name in ("inner/notes.txt", "inner/none.txt", "link/notes.txt", "inner", ".env"):
        with pytest.raises(InvalidValue) as raised:
            open_allowed(f"{root}/{name}", [root], closed=closed).close()
        assert raised.value.details["path"] == OUTSIDE
    (root / "inner.txt").write_text("beside it")
    with open_allowed(f"{root}/inner.txt", [root], closed=closed) as file:
        assert file.read() == b"beside it"


def test_an_allowed_folder_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    with open_allowed(f"{link}/inner/notes.txt", [link]) as file:
        assert file.read() == b"what is allowed"


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "short").symlink_to(root / "inner" / "notes.txt")
    with open_allowed(f"{root}/short", [root]) as file:
        assert file.read() == b"what is allowed"


def test_without_allowed_folders_the_client_is_told_to_upload(root: Path) -> None:
    reason = refusal(f"{root}/inner/notes.txt")
    assert "EXAI_FILE_ROOTS is empty" in reason
    assert "upload" in reason


@pytest.mark.parametrize(
    "path", ["{outer}/secret.txt", "{outer}/missing.txt", "{root}/missing.txt", "{root}beside/x", "/etc/passwd"]
)
def test_outside_and_missing_are_told_in_the_same_words(root: Path, path: str) -> None:
    assert refusal(path.format(root=root, outer=root.parent), root) == OUTSIDE


@pytest.mark.parametrize("target", ["{outer}/secret.txt", "{outer}/missing", "../secret.txt", "/proc/self/environ"])
def test_a_link_that_leads_out_is_refused(root: Path, target: str) -> None:
    (root / "link").symlink_to(target.format(outer=root.parent))
    assert refusal(f"{root}/link", root) == OUTSIDE


def test_a_folder_that_is_a_link_leading_out_is_refused(root: Path) -> None:
    (root / "link").symlink_to(root.parent)
    assert refusal(f"{root}/link/secret.txt", root) == OUTSIDE


def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "one").symlink_to(root / "two")
    (root / "two").symlink_to(root / "one")
    assert refusal(f"{root}/one", root) == OUTSIDE


def test_a_link_put_in_place_after_the_check_leads_nowhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.path.realpath

    def exchange(path: str | Path) -> str:
        resolved = real(path)
        if resolved.endswith("notes.txt"):
            (root / "inner").rename(root / "away")
            (root / "inner").symlink_to(root.parent)
            (root.parent / "notes.txt").write_text("what is not")
        return resolved

    monkeypatch.setattr(os.path, "realpath", exchange)
    assert refusal(f"{root}/inner/notes.txt", root) == OUTSIDE


@pytest.mark.parametrize("path", ["{root}/../secret.txt", "{root}/inner/../inner/notes.txt", "/../etc/passwd"])
def test_dots_that_go_up_are_refused(root: Path, path: str) -> None:
    assert ".." in refusal(path.format(root=root), root)


@pytest.mark.parametrize("path", ["C:\\secret.txt", "c:/secret.txt", "\\\\host\\share\\x", "//host/share/x", "/a\\b"])
def test_paths_of_another_system_are_refused(root: Path, path: str) -> None:
    assert "this hub's system" in refusal(path, root)


@pytest.mark.parametrize("path", ["inner/notes.txt", "~/notes.txt", "./notes.txt"])
def test_relative_paths_are_refused(root: Path, path: str) -> None:
    assert "not absolute" in refusal(path, root)


@pytest.mark.parametrize("character", ["\0", "\n", "\x1b", "\x7f", "\u202e", "\ud800"])
def test_control_characters_are_refused_and_not_repeated(root: Path, character: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        open_allowed(f"{root}/a{character}b", [root])
    assert "control characters" in raised.value.message
    assert character not in raised.value.message


@pytest.mark.parametrize("name", ["n" * 256, "ä" * 200, "/".join(["n" * 200] * 30), "n" * 4_000])
def test_names_that_are_too_long_are_refused_and_not_repeated(root: Path, name: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        open_allowed(f"{root}/{name}", [root])
    assert "too long" in raised.value.message
    assert len(raised.value.message) < 400


def test_an_empty_path_is_refused(root: Path) -> None:
    assert "empty" in refusal("", root)


def test_folders_are_refused(root: Path) -> None:
    assert "folder" in refusal(f"{root}/inner", root)
    assert "folder" in refusal(f"{root}/", root)


def test_a_pipe_is_refused_without_waiting_for_its_writer(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert "pipe" in refusal(f"{root}/pipe", root)


@pytest.fixture
def socket_path() -> Iterator[Path]:
    # Not under tmp_path, which may be too long for a socket.
    import tempfile

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/s")
        yield Path(folder) / "s"


def test_a_socket_is_refused(socket_path: Path) -> None:
    assert "socket" in refusal(str(socket_path), socket_path.parent)


def test_devices_are_refused() -> None:
    assert "device" in refusal("/dev/zero", Path("/dev"))


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/1/environ", "/proc/self/root/proc/self/environ"])
def test_the_kernels_files_are_refused_even_where_all_is_allowed(path: str) -> None:
    assert refusal(path, Path("/")) == OUTSIDE
    assert refusal(path, Path("/proc")) == OUTSIDE


def test_no_descriptor_stays_open_whatever_happened(root: Path) -> None:
    os.mkfifo(root / "pipe")
    before = descriptors()
    for name in ("inner", "pipe", "missing", "inner/missing", "../secret.txt", "inner/notes.txt/x"):
        refusal(f"{root}/{name}", root)
    open_allowed(f"{root}/inner/notes.txt", [root]).close()
    assert descriptors() == before
