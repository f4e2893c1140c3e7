"""Pictures as vendors take them."""

import base64
import io
import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from exai.extraction.extracted import Extracted
from exai.extraction.limits import Limits
from tests.extraction.packages import put
from tests.extraction.reading import read

RED = (250, 0, 0)


def shown(found: Extracted) -> Image.Image:
    assert found.problem == ""
    head, _, content = found.image.partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    assert head == f"data:{picture.get_format_mimetype()};base64"
    picture.load()
    return picture


@pytest.mark.parametrize(
    ("suffix", "mode", "kind"),
    [
        ("png", "RGBA", "PNG"),
        ("png", "P", "PNG"),
        ("png", "1", "PNG"),
        ("jpg", "RGB", "JPEG"),
        ("jpg", "CMYK", "JPEG"),
        ("webp", "RGB", "PNG"),
        ("bmp", "RGB", "PNG"),
        ("tiff", "RGB", "PNG"),
        ("tiff", "F", "PNG"),
        ("tiff", "LAB", "PNG"),
        ("gif", "P", "PNG"),
    ],
)
async def test_each_kind_becomes_png_or_jpeg(tmp_path: Path, suffix: str, mode: str, kind: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (30, 20)).save(path)
    found = await read(path)
    assert (shown(found).format, shown(found).size) == (kind, (30, 20))
    assert (found.text, found.parts, found.cut) == ("", "", False)


async def test_a_large_picture_is_made_smaller_and_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (3_000, 1_500), RED).save(tmp_path / "a.jpg")
    found = await read(tmp_path / "a.jpg")
    picture = shown(found)
    assert max(picture.size) <= 2_048
    assert picture.width == 2 * picture.height
    assert picture.getpixel((5, 5)) == pytest.approx(RED, abs=6)
    assert found.parts.startswith("made smaller from 3,000 × 1,500 to")


async def test_a_picture_of_too_many_bytes_is_packed_and_made_smaller_until_it_fits(tmp_path: Path) -> None:
    noise = random.Random(5).randbytes(700 * 700 * 3)
    Image.frombytes("RGB", (700, 700), noise).save(tmp_path / "a.png")
    found = await read(tmp_path / "a.png", limits=Limits(image_bytes=60_000))
    assert shown(found).format == "JPEG"
    assert len(base64.b64decode(found.image.partition(",")[2])) <= 60_000


async def test_sixteen_bits_of_grey_are_not_clipped_to_white(tmp_path: Path) -> None:
    Image.new("I;16", (10, 10), 0x8000).save(tmp_path / "a.png")
    assert shown(await read(tmp_path / "a.png")).getpixel((5, 5)) == 0x80


async def test_only_the_first_frame_is_shown(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (10, 10), colour) for colour in (RED, (0, 250, 0), (0, 0, 250))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found = await read(tmp_path / "a.gif")
    assert shown(found).convert("RGB").getpixel((5, 5)) == RED
    assert (found.parts, found.cut) == ("the first of 3 frames", True)


async def test_a_photo_is_turned_upright_and_forgets_where_it_was_taken(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010E] = "a secret description"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    photo = Image.new("RGB", (40, 20), RED)
    photo.save(tmp_path / "a.jpg", exif=exif, comment=b"another secret")
    photo.save(tmp_path / "a.webp", exif=exif, xmp=b"<x:xmpmeta>a third secret</x:xmpmeta>")
    for name in ("a.jpg", "a.webp"):
        found = await read(tmp_path / name)
        picture = shown(found)
        assert picture.size == (20, 40)
        assert not picture.getexif()
        assert b"secret" not in base64.b64decode(found.image.partition(",")[2])


def png(width: int, height: int, content: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


async def test_a_picture_that_declares_too_many_pixels_is_refused(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.png", png(60_000, 60_000)))
    assert found.image == ""
    assert "60,000 × 60,000 pixels" in found.problem
    assert "50 million" in found.problem


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp", "tiff"])
async def test_a_truncated_picture_says_so(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    Image.frombytes("RGB", (60, 60), random.Random(5).randbytes(60 * 60 * 3)).save(whole)
    content = whole.read_bytes()
    for length in (40, len(content) // 2):
        found = await read(put(tmp_path / f"a.{suffix}", content[:length]))
        assert found.image == ""
        assert "damaged" in found.problem


async def test_a_picture_that_needs_more_memory_than_there_is_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (5_000, 5_000)).save(tmp_path / "a.png")
    found = await read(tmp_path / "a.png", limits=Limits(address_space_bytes=96 * 1024 * 1024))
    assert "more than 96 MiB of memory" in found.problem
