"""Masks secrets in what a run says, also encoded, also where a secret is split between two reads."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "•••"
_MASK = MASK.encode()
SHORTEST = 4  # a shorter form would mask half of what is said


def forms(secret: str) -> Iterator[bytes]:
    """A secret as it is and as it looks in URLs, JSON, HTML, base64 (at any offset) and hex."""
    raw = secret.encode()
    yield raw
    for line in raw.splitlines():
        if len(line) >= 8:
            yield line
    for text in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield text.encode()
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text).encode()
    yield json.dumps(secret)[1:-1].encode()
    yield json.dumps(secret, ensure_ascii=False)[1:-1].encode()
    yield html.escape(secret).encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).rstrip(b"=")
        for offset in (1, 2):  # in the middle of something longer, such as user:password
            inner = encode(b"\0" * offset + raw).rstrip(b"=")[offset + 1 :]
            yield inner[: len(inner) - 1] if len(raw) + offset > 2 else inner
        yield encode(raw).rstrip(b"=")[:-1]
        whole = encode(raw)
        for width in (64, 76):  # as `openssl` and `base64` wrap it
            if len(whole) > width:
                yield from (
                    whole[at : at + width].rstrip(b"=") for at in range(0, len(whole), width) if at + 8 < len(whole)
                )


class Redactor:
    """Replaces every form of the secrets by a mask. Never holds back more than the longest form."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {form for secret in filter(None, secrets) for form in forms(secret) if len(form) >= SHORTEST}
        ordered = sorted(found, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._longest = len(ordered[0]) if ordered else 0
        self._by_first: dict[int, list[bytes]] = {}
        for form in ordered:
            self._by_first.setdefault(form[0], []).append(form)

    def __call__(self, text: str) -> str:
        if self._pattern is None:
            return text
        masked = self._pattern.sub(_MASK, text.encode(errors="surrogatepass"))
        return masked.decode(errors="replace")

    def data(self, data: bytes) -> bytes:
        """Bytes that nothing follows."""
        return self._pattern.sub(_MASK, data) if self._pattern else data

    def held(self, data: bytes) -> int:
        """How many of the last bytes may be the beginning of a secret, and must wait for what follows."""
        for start in range(max(0, len(data) - self._longest + 1), len(data)):
            for form in self._by_first.get(data[start], ()):
                if len(form) > len(data) - start and form.startswith(data[start:]):
                    return len(data) - self._not_within(data, start)
        return 0

    def _not_within(self, data: bytes, at: int) -> int:
        """That place, or the beginning of a whole secret that it would cut in two."""
        found = self._pattern.finditer(data) if self._pattern else ()
        return next((one.start() for one in found if one.start() < at < one.end()), at)
