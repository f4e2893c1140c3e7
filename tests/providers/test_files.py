"""Files at the vendors: uploaded as a stream, listed, read and deleted, and refused before where they are not taken."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from exai.protocol.errors import ContentTooLarge, HubError, InvalidValue, ProviderFailed
from exai.providers.files import ReadableVendorFiles, VendorFile, VendorFiles
from exai.providers.glm_files import glm_files
from exai.providers.kimi_files import kimi_files
from tests.providers.addressed import endpoint
from tests.providers.wire import WHOLE, vendor_that_sends
from tests.upstream import Upstream

MADE = 1_760_000_000


@pytest.fixture
async def kimi(upstream: Upstream, model: str) -> AsyncIterator[ReadableVendorFiles]:
    files = kimi_files(endpoint("kimi", upstream.url, model))
    yield files
    await files.close()


@pytest.fixture
async def glm(upstream: Upstream, model: str) -> AsyncIterator[VendorFiles]:
    files = glm_files(endpoint("glm", upstream.url, model))
    yield files
    await files.close()


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


async def failure_of_upload(files: VendorFiles, *content: bytes, name: str = "a.txt", size: int = 3) -> HubError:
    with pytest.raises(HubError) as caught:
        await files.upload(name=name, size_bytes=size, content=pieces(*content))
    return caught.value


async def test_an_upload_is_a_form_with_purpose_and_file(
    upstream: Upstream, kimi: ReadableVendorFiles, model: str
) -> None:
    content = "Grüße".encode(), b"\r\n--\r\n", b"", b"\x00\xff"
    size = sum(map(len, content))
    uploaded = await kimi.upload(name="notes.MD", size_bytes=size, content=pieces(*content))
    assert uploaded == VendorFile(uploaded.id, "notes.MD", size, MADE, "file-extract", "ok")
    [request] = upstream.requests(model)
    assert (request.method, request.path) == ("POST", "/v1/files")
    assert request.headers["content-length"] == str(len(request.raw))
    assert "transfer-encoding" not in request.headers
    boundary = request.headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
    assert request.raw == (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfile-extract\r\n'
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="notes.MD"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + b"".join(content) + b"\r\n--" + boundary + b"--\r\n"
    )


async def test_a_file_of_the_disk_is_uploaded_whole(
    upstream: Upstream, glm: VendorFiles, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"0123456789" * 100_000)
    uploaded = await glm.upload(name=path.name, size_bytes=1_000_000, content=path)
    assert (uploaded.size_bytes, uploaded.purpose) == (1_000_000, "agent")
    assert path.read_bytes() in upstream.requests(model)[0].raw


@pytest.mark.parametrize(
    ("name", "sent"), [('a"b\r\nX: 1.txt', "a%22b%0D%0AX: 1.txt"), ("grüße.txt", "grüße.txt"), ("\x00.txt", "%00.txt")]
)
async def test_a_name_cannot_leave_its_place_in_the_form(glm: VendorFiles, name: str, sent: str) -> None:
    assert (await glm.upload(name=name, size_bytes=1, content=pieces(b"x"))).name == sent


@pytest.mark.parametrize("content", [(b"ab",), (b"ab", b"cd"), ()])
async def test_content_of_another_size_than_told_is_not_uploaded(
    kimi: ReadableVendorFiles, content: tuple[bytes, ...]
) -> None:
    failed = await failure_of_upload(kimi, *content, size=3)
    assert isinstance(failed, InvalidValue)
    assert "3 bytes" in failed.message
    assert await kimi.list() == ()


@pytest.mark.parametrize("vendor", ["kimi", "glm"])
async def test_a_file_beyond_the_vendor_s_bound_is_refused_before_anything_is_sent(
    upstream: Upstream, kimi: ReadableVendorFiles, glm: VendorFiles, model: str, vendor: str
) -> None:
    files, limit = {"kimi": (kimi, 100 * 2**20), "glm": (glm, 20 * 2**20)}[vendor]
    failed = await failure_of_upload(files, size=limit + 1)
    assert isinstance(failed, ContentTooLarge)
    assert failed.details == {"size_bytes": limit + 1, "limit": limit}
    assert isinstance(await failure_of_upload(files, size=0), InvalidValue)
    assert upstream.requests(model) == []


@pytest.mark.parametrize("name", ["movie.mp4", "archive.zip", "README", ".txt", "a.txt.exe"])
async def test_a_kind_that_the_vendor_does_not_read_is_refused_before_anything_is_sent(
    upstream: Upstream, kimi: ReadableVendorFiles, glm: VendorFiles, model: str, name: str
) -> None:
    for files in (kimi, glm):
        failed = await failure_of_upload(files, b"abc", name=name)
        assert isinstance(failed, InvalidValue)
        assert ".pdf" in failed.message
    assert upstream.requests(model) == []


async def test_files_are_listed_read_and_deleted(upstream: Upstream, kimi: ReadableVendorFiles, model: str) -> None:
    first = await kimi.upload(name="a.txt", size_bytes=3, content=pieces(b"one"))
    second = await kimi.upload(name="b.txt", size_bytes=3, content=pieces(b"two"))
    assert await kimi.list() == (first, second)
    assert await kimi.content(second.id) == '{"content":"two","file_type":"text/plain","filename":"b.txt"}'
    await kimi.delete(first.id)
    assert await kimi.list() == (second,)
    assert [(request.method, request.path) for request in upstream.requests(model)[2:]] == [
        ("GET", "/v1/files?purpose=file-extract"),
        ("GET", f"/v1/files/{second.id}/content"),
        ("DELETE", f"/v1/files/{first.id}"),
        ("GET", "/v1/files?purpose=file-extract"),
    ]


async def test_a_list_of_many_pages_comes_whole(upstream: Upstream, glm: VendorFiles, model: str) -> None:
    made = [await glm.upload(name=f"{n}.txt", size_bytes=1, content=pieces(b"x")) for n in range(5)]
    assert await glm.list() == tuple(made)
    paths = [request.path for request in upstream.requests(model) if request.method == "GET"]
    assert paths == [
        "/v1/files?purpose=agent&limit=100",
        f"/v1/files?purpose=agent&limit=100&after={made[1].id}",
        f"/v1/files?purpose=agent&limit=100&after={made[3].id}",
    ]


async def test_a_file_that_there_is_not_is_said_to_be_unknown(kimi: ReadableVendorFiles, glm: VendorFiles) -> None:
    with pytest.raises(ProviderFailed, match="kimi does not know this file") as caught:
        await kimi.content("file-none")
    assert caught.value.details == {"provider": "kimi", "status": 404, "retryable": False}
    with pytest.raises(ProviderFailed, match="glm does not know this file"):
        await glm.delete("file-none")


@pytest.mark.parametrize("file_id", ["", "..", "../models", "a/b", "a?b=1", "a\r\nb", "ü", "x" * 300])
async def test_an_id_cannot_lead_elsewhere(
    upstream: Upstream, kimi: ReadableVendorFiles, model: str, file_id: str
) -> None:
    for deed in (kimi.content, kimi.delete):
        with pytest.raises(InvalidValue):
            await deed(file_id)
    assert upstream.requests(model) == []


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (401, False), (413, False), (429, True), (503, True)])
async def test_each_failure_is_told_as_that_of_a_chat(
    upstream: Upstream, kimi: ReadableVendorFiles, model: str, status: int, retryable: bool
) -> None:
    upstream.behave(model, status=status, retry_after=7)
    failed = await failure_of_upload(kimi, b"abc")
    assert failed.details == {"provider": "kimi", "status": status, "retryable": retryable, "retry_after": 7}
    assert model not in failed.message
    assert ("THE_KEY" in failed.message) is (status == 401)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id":5}', b"<html>", b'{"data":[{"id":"\xff"}],"id":"\xff"}'])
async def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(vendor_that_sends(body, head=WHOLE))
        files = glm_files(endpoint("glm", wire.url, "k"))
        stack.push_async_callback(files.close)
        with pytest.raises(ProviderFailed, match="no answer"):
            await files.list()
        with pytest.raises(ProviderFailed):
            await files.upload(name="a.txt", size_bytes=1, content=pieces(b"x"))


async def test_a_deletion_that_the_vendor_denies_is_a_failure() -> None:
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(vendor_that_sends(b'{"deleted":false}', head=WHOLE))
        files = kimi_files(endpoint("kimi", wire.url, "k"))
        stack.push_async_callback(files.close)
        with pytest.raises(ProviderFailed, match="did not delete"):
            await files.delete("file-1")
