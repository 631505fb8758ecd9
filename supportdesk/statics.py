"""Static files as they leave: the style sheets as one, everything without its comments, hashed and compressed.

A page costs 45 KB of styles and scripts at most (docs/performance.md).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import brotli
import rcssmin
import rjsmin
from django.core.files.base import ContentFile
from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage

# In the order in which they stand: later layers win.
SHEETS = (
    "base", "layout", "controls", "tickets", "knowledge", "runbooks", "workspace", "overlays", "notices", "small", "desk", "utilities",
)  # fmt: skip
BUNDLE = "css/all.css"
LARGE = 120_000


# A pseudo-class of any descendant: `.queue :is(th, td)`.
_DESCENDANT = re.compile(r"(?<=[\w)\]*])\s+:(?=[a-z])")


def shorter_css(text: str) -> str:
    """A sheet without comments and needless space. The minifier would take the space before a pseudo-class for needless."""
    return str(rcssmin.cssmin(_DESCENDANT.sub(" *:", text)))


class DeskCompressor(Compressor):
    """What a page needs is made as small as can be; the API's large pages, a hundred times dearer to make so, nearly."""

    @staticmethod
    def compress_brotli(data: bytes) -> bytes:
        return bytes(brotli.compress(data, quality=11 if len(data) < LARGE else 5))


class DeskStaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Whitenoise's storage over our own files without comments and with the sheets in one."""

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Iterator[Any]:
        if not dry_run:
            for name in [name for name in paths if name.startswith(("css/", "js/"))]:
                self._shorten(name)
            self._rewrite(BUNDLE, "\n".join(self._text(f"css/{sheet}.css") for sheet in SHEETS))
            paths[BUNDLE] = (self, BUNDLE)
        yield from super().post_process(paths, dry_run, **options)

    def compress_files(self, paths: Iterable[str]) -> Iterator[Any]:
        """Of what packages bring only what a page asks for, which is by its hash."""
        hashed = set(self.hashed_files.values())
        yield from super().compress_files([one for one in paths if one in hashed or one.startswith(("css/", "js/"))])

    def create_compressor(self, **options: Any) -> DeskCompressor:
        return DeskCompressor(**options)

    def _shorten(self, name: str) -> None:
        text = self._text(name)
        self._rewrite(name, shorter_css(text) if name.endswith(".css") else rjsmin.jsmin(text))

    def _text(self, name: str) -> str:
        with self.open(name) as file:
            return bytes(file.read()).decode()

    def _rewrite(self, name: str, text: str) -> None:
        self.delete(name)
        self.save(name, ContentFile(text.encode()))
