"""A picture as vendors take it: PNG or JPEG, not larger than they look at, without what cameras write about a place.

https://docs.anthropic.com/en/docs/build-with-claude/vision, https://platform.openai.com/docs/guides/images-vision
"""

import base64
import io
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from exai.extraction.gathered import Gathered, Unreadable
from exai.extraction.limits import Limits

_FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
_MILLION = 1_000_000
_SMALLEST_SIDE = 256  # pixels: a picture that is too many bytes at that size does not exist


def read_image(file: BinaryIO, mime_type: str, gathered: Gathered) -> None:
    """Raises `Unreadable`."""
    limits = gathered.limits
    Image.MAX_IMAGE_PIXELS = None  # checked here, in words of our own
    try:
        with Image.open(file, formats=[_FORMATS[mime_type]]) as picture:
            width, height = picture.size
            if width * height > limits.pixels:
                raise Unreadable(
                    f"It declares {width:,} × {height:,} pixels; pictures are taken up to {limits.pixels // _MILLION} "
                    "million."
                )
            frames = getattr(picture, "n_frames", 1)
            picture.draft("RGB", (limits.image_side, limits.image_side))  # a JPEG is unpacked at a fraction
            picture.load()
            gathered.image, size = _encoded(_upright(picture, limits), picture.format == "JPEG", limits)
    except UnidentifiedImageError:
        raise Unreadable("It begins like a picture, but is damaged.") from None
    except (OSError, SyntaxError, ValueError, EOFError):  # what Pillow's readers meet damage with
        raise Unreadable("It is a damaged or incomplete picture.") from None
    notes = []
    if frames > 1:
        notes.append(f"the first of {frames:,} frames")
    if max(size) < max(width, height):
        notes.append(f"made smaller from {width:,} × {height:,} to {size[0]:,} × {size[1]:,} pixels")
    gathered.note = ", ".join(notes)
    gathered.cut = frames > 1


def _upright(picture: Image.Image, limits: Limits) -> Image.Image:
    """As it is to be looked at, in colours that both formats can hold, made small before it is copied."""
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode.startswith(("I", "F")):  # 16 or 32 bits of grey
        picture = picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    picture.thumbnail((limits.image_side, limits.image_side))
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in {"L", "RGB", "RGBA"}:
        return picture
    return picture.convert("RGBA" if picture.mode in {"LA", "PA", "La", "RGBa"} else "RGB")


def _encoded(picture: Image.Image, as_jpeg: bool, limits: Limits) -> tuple[str, tuple[int, int]]:
    """A data: URL within the limit, and the size in pixels."""
    content = _jpeg(picture) if as_jpeg else _png(picture)
    if len(content) > limits.image_bytes and not as_jpeg:
        content, as_jpeg = _jpeg(picture), True
    while len(content) > limits.image_bytes and max(picture.size) > _SMALLEST_SIDE:
        picture.thumbnail((picture.width * 3 // 4, picture.height * 3 // 4))
        content = _jpeg(picture)
    kind = "jpeg" if as_jpeg else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}", picture.size


def _png(picture: Image.Image) -> bytes:
    return _saved(_bare(picture), "PNG")


def _jpeg(picture: Image.Image) -> bytes:
    if picture.mode == "RGBA":
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        picture = white
    return _saved(_bare(picture), "JPEG", quality=88)


def _bare(picture: Image.Image) -> Image.Image:
    """Without all that was written beside the pixels: place, time, camera, comments, previews."""
    picture = picture.copy()
    picture.info = {}
    picture.getexif().clear()
    return picture


def _saved(picture: Image.Image, kind: str, **options: int) -> bytes:
    saved = io.BytesIO()
    picture.save(saved, kind, **options)
    return saved.getvalue()
