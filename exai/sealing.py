"""Keeps a vendor's key in the database so that only this hub can read it.

AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) derives from the hub's secret. What is sealed for one endpoint
opens for no other.
"""

import base64
import binascii
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PREFIX = "v1:"
_NONCE_BYTES = 12


class SealBroken(Exception):
    """What was sealed does not open: by another secret, for another endpoint, or it was changed since."""


def seal(plain: str, *, secret: str, endpoint: str) -> str:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = _cipher(secret).encrypt(nonce, plain.encode(), endpoint.encode())
    return _PREFIX + base64.urlsafe_b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, secret: str, endpoint: str) -> str:
    """Raises `SealBroken`."""
    if not sealed.startswith(_PREFIX):
        raise SealBroken
    try:
        raw = base64.urlsafe_b64decode(sealed[len(_PREFIX) :])
        return _cipher(secret).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], endpoint.encode()).decode()
    except (binascii.Error, InvalidTag, ValueError):
        raise SealBroken from None


@lru_cache(maxsize=4)
def _cipher(secret: str) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"exai provider keys").derive(secret.encode()))
