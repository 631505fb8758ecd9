"""Secrets at rest, and signatures that travel in addresses."""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from supportdesk.errors import Invalid


class UnknownKey(Invalid):
    """A secret that was encrypted with a key that is not there."""


def _box() -> MultiFernet:
    keys = [base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()) for key in settings.ENCRYPTION_KEYS]
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> bytes:
    """Encrypt with the newest key of `DESK_ENCRYPTION_KEYS`."""
    return _box().encrypt(text.encode())


def decrypt(token: bytes) -> str:
    """Decrypt with whichever key made it; raises `UnknownKey` when none did."""
    try:
        return _box().decrypt(bytes(token)).decode()
    except InvalidToken:
        raise UnknownKey("A stored secret cannot be read: its key is missing from DESK_ENCRYPTION_KEYS.") from None


def sign(purpose: str, *parts: object, length: int = 20) -> str:
    """A lower-case base32 HMAC-SHA256 over the parts, fit for the local part of a mail address."""
    message = "\x1f".join([purpose, *map(str, parts)]).encode()
    digest = hmac.new(settings.SECRET_KEY.encode(), message, hashlib.sha256).digest()
    return base64.b32encode(digest).decode().lower().rstrip("=")[:length]


def verify(signature: str, purpose: str, *parts: object) -> bool:
    """Compare in constant time; mail servers may have changed the case."""
    if not signature.isascii():
        return False
    return hmac.compare_digest(signature.lower(), sign(purpose, *parts, length=max(len(signature), 16)))
