"""Whether the images of a request can be sent: refused in words here, not by a vendor in its own."""

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo, ModelRequest

_INLINE = "data:image/"


def check_images(request: ModelRequest, info: ModelInfo, *, takes_addresses: bool = True) -> None:
    """`takes_addresses`: whether the vendor fetches images from `https:` URLs. Raises `InvalidValue`."""
    for message in request.messages:
        if message.images:
            _check(message.images, info, takes_addresses)


def _check(images: tuple[str, ...], info: ModelInfo, takes_addresses: bool) -> None:
    if not info.vision:
        raise InvalidValue(
            f"{info.id} sees no images: name a model with vision (see listmodels).", images=f"not taken by {info.id}"
        )
    for image in images:
        if image.startswith(_INLINE) or (takes_addresses and image.startswith("https://")):
            continue
        wanted = "data:image/… or https: URLs" if takes_addresses else "data:image/… URLs"
        raise InvalidValue(f"{info.id} takes images as {wanted} only.", images=f"must be {wanted}")
