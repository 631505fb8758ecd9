"""Bytes of mail to text, whatever charset they claim to be in."""

import codecs
import contextlib
import re

from charset_normalizer import from_bytes

# Names that mail programs write and Python does not know, or that mean more than they say (WHATWG, RFC 1345).
_ALIASES = {
    "ansi_x3.110-1983": "cp1252", "ansi": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252", "iso-8859-1": "cp1252", "latin1": "cp1252",
    "iso8859-1": "cp1252", "iso_8859-1": "cp1252", "latin-1": "cp1252", "windows-1252http-equivcontent-type": "cp1252",
    "x-user-defined": "cp1252", "gb2312": "gb18030", "gb_2312-80": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030",
    "ks_c_5601-1987": "cp949", "ks_c_5601": "cp949", "euc-kr": "cp949", "korean": "cp949", "x-sjis": "cp932", "shift_jis": "cp932",
    "shift-jis": "cp932", "windows-31j": "cp932", "x-euc-jp": "euc_jp", "iso-2022-jp": "iso2022_jp_ext", "big5": "big5hkscs",
    "x-mac-roman": "mac_roman", "macintosh": "mac_roman", "iso-8859-8-i": "cp1255", "iso-8859-8-e": "cp1255", "logical": "cp1255",
    "iso-8859-9": "cp1254", "iso-8859-6-i": "iso8859_6", "tis-620": "cp874", "iso-8859-11": "cp874", "utf8mb4": "utf-8",
    "unicode-1-1-utf-8": "utf-8", "unicode-1-1-utf-7": "utf-7", "x-unknown": "", "unknown-8bit": "", "unknown": "", "default": "", "windows-1252": "cp1252", "cp-1252": "cp1252", "x-cp1252": "cp1252",
    "koi8-ru": "koi8_u", "mac": "mac_roman", "x-macroman": "mac_roman", "mac-ce": "mac_latin2", "iso-8859-6-e": "iso8859_6", "binary": "", "8bit": "",
}  # fmt: skip
_NO_MORE_THAN_ASCII = {"us-ascii", "ascii", "ansi_x3.4-1968"}
FEW = 20  # bytes beyond ASCII below which a guess is worth nothing
# Codecs of Python that are not charsets: they change bytes to bytes, ask the network's names, or run on for ever.
_NO_CHARSETS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}


def codec_of(charset: str | None) -> str:
    """Python's name of a charset; empty where nobody knows it."""
    name = re.sub(r"[\s\"'\0]", "", charset or "").lower().partition("*")[0][:60]
    name = _ALIASES.get(name, name)
    if not name:
        return ""
    for one in (
        name,
        _ALIASES.get(bare := name.removeprefix("x-"), bare),
        re.sub(r"^(?:windows|win)-?(?=\d)", "cp", bare),
        re.sub(r"^mac-?", "mac_", bare),
    ):
        with contextlib.suppress(LookupError, ValueError):
            found = codecs.lookup(one)
            if found.name.replace("-", "_") not in _NO_CHARSETS and getattr(found, "_is_text_encoding", True):
                return one
    return ""


_META = re.compile(rb"<meta[^>]{0,200}\bcharset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)


def of_page(raw: bytes) -> str | None:
    """The charset that HTML names itself, where its part names none."""
    found = _META.search(raw[:4000])
    return found[1].decode("ascii") if found else None


def _is_japanese(raw: bytes) -> bool:
    """Whether bytes without a charset are Shift_JIS: they are valid in it, and much of them is kana."""
    try:
        text = raw.decode("cp932")[:20_000]
    except UnicodeError:
        return False
    beyond = [c for c in text if c > "\x7f"]
    return len(beyond) >= 3 and sum("\u3041" <= c <= "\u30ff" for c in beyond) * 3 >= len(beyond)


def _cyrillic(raw: bytes) -> str:
    """The codec of a few Cyrillic words without a charset; empty where they are other.

    Their words have no Latin letters in them, as those of Western Europe have, and most letters are small ones, which
    are the capitals of the other codec.
    """
    words = re.findall(rb"[A-Za-z\x80-\xff]+", raw[:20_000])
    whole = [word for word in words if min(word) > 0x7F and len(word) > 2]
    if not whole or any(max(word) > 0x7F for word in words if min(word) < 0x80):
        return ""
    small = {
        codec: sum("\u0430" <= c <= "\u044f" for c in b"".join(whole).decode(codec, "replace"))
        for codec in ("cp1251", "koi8_r")
    }
    codec = max(small, key=lambda one: small[one])
    return codec if small[codec] * 2 > sum(map(len, whole)) else ""


def _mixed(error: UnicodeError) -> tuple[str, int]:
    """A letter of Western Europe among UTF-8, which a program put into it as it was; else the sign of damage."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    found = re.compile(rb"(?<=[A-Za-z ])[\xc0-\xff]{1,3}(?=[A-Za-z .,;!?\r\n])|(?<=[A-Za-z])[\xd8-\xff]\Z").match(
        error.object, error.start
    )
    return (found[0].decode("latin-1"), found.end()) if found else ("\ufffd", error.end)


codecs.register_error("mixed", _mixed)


_ESCAPE = re.compile(rb"(\x1b(?:\$\([@BD]|\$[@B]|\([ABHIJ]))")


def _jis(raw: bytes) -> str:
    """Japanese of seven bits (RFC 1468), with the letters that Windows programs put into rows which JIS X 0208 left empty."""
    out, form = [], b"\x1b(B"
    for piece in _ESCAPE.split(raw):
        if _ESCAPE.fullmatch(piece):
            form = piece
        elif form in {b"\x1b$@", b"\x1b$B", b"\x1b$(B", b"\x1b$(@"}:
            out.append(
                b"".join(_shifted(*piece[at : at + 2]) for at in range(0, len(piece) - 1, 2)).decode("cp932", "replace")
            )
        elif form == b"\x1b$(D":
            out.append((form + piece).decode("iso2022_jp_ext", "replace"))
        elif form == b"\x1b(I":
            out.append(bytes(byte | 0x80 for byte in piece).decode("cp932", "replace"))
        else:
            out.append(piece.decode("ascii", "replace"))
    return "".join(out)


def _shifted(row: int, cell: int) -> bytes:
    """A letter of JIS X 0208 as Shift_JIS has it; a line end, where somebody forgot to leave the form, as it is."""
    if row < 0x21 or cell < 0x21:
        return bytes((row, cell))
    lead = (row - 0x21 >> 1) + (0x81 if row < 0x5F else 0xC1)
    return bytes((lead, cell + (0x7E if row % 2 == 0 else 0x1F if cell < 0x60 else 0x20)))


def decode(raw: bytes, charset: str | None) -> str:
    """Bytes to text by the named charset, by UTF-8, by a guess; never an error."""
    if b"\x1b$" in raw and b"\x1b$)" not in raw and raw.isascii():
        return _jis(raw)
    named = "" if (charset or "").lower() in _NO_MORE_THAN_ASCII and not raw.isascii() else codec_of(charset)
    # What calls itself Latin-1 or ASCII and is valid UTF-8 beyond ASCII is UTF-8: by chance that hardly happens.
    order = ["utf-8", named] if named == "cp1252" else [named, "utf-8"]
    if named in {"utf-16", "utf16"} and raw[:2] not in {b"\xff\xfe", b"\xfe\xff"}:
        named = "utf-16-le" if raw[1:200:2].count(0) > raw[:200:2].count(0) else "utf-16-be"  # RFC 2781, 4.3
        order = [named]
    for name in filter(None, order):
        with contextlib.suppress(LookupError, UnicodeError, ValueError):
            return raw.decode(name).removeprefix("\ufeff")
    if named.startswith("iso2022_jp") and _is_japanese(raw):
        return raw.decode("cp932")
    for name in filter(None, order):
        with contextlib.suppress(LookupError, UnicodeError, ValueError):
            text = raw.decode(name, "replace")
            # A few damaged bytes do not make it another charset, where others show that it is this one.
            damaged = text.count("\ufffd")
            sound = sum(c > "\x7f" for c in text) - damaged
            if damaged <= max(1, len(text) // 20, sound) and (sound or name == named):
                return raw.decode(name, "mixed") if name == "utf-8" else text
    if not named and _is_japanese(raw):
        return raw.decode("cp932")
    if sum(byte > 127 for byte in raw[:2000]) < FEW:
        return raw.decode(_cyrillic(raw) or "cp1252", "replace")  # of so few nobody can tell more
    guess = from_bytes(raw[:200_000]).best()
    with contextlib.suppress(LookupError, UnicodeError, ValueError):
        return raw.decode(guess.encoding if guess else "latin-1", "replace")
    return raw.decode("latin-1")
