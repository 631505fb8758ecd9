"""Files in the form from before MIME: `begin 644 name`, lines of 45 bytes, `end`."""

import binascii
import re

_BEGINS = re.compile(rb"begin [0-7]{3,4} (\S[^\n]{0,200}?)\s*")


def files_in(text: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A text without the files in it, and (name, content) of each."""
    if not _BEGINS.search(text) or b"\nend" not in text:
        return text, []
    kept, files = [], []
    lines = text.split(b"\n")
    at = 0
    while at < len(lines):
        begins = _BEGINS.fullmatch(lines[at])
        ends, content = _content(lines, at + 1) if begins else (0, b"")
        if begins and ends:
            files.append((begins[1], content))
            at = ends
        else:
            kept.append(lines[at])
            at += 1
    return b"\n".join(kept), files


def decode(text: bytes) -> bytes | None:
    """The bytes of a part that is encoded so, with or without the lines that begin and end a file; None where it is not."""
    _, files = files_in(text)
    return files[0][1] if files else _content([*text.strip().split(b"\n"), b"end"], 0)[1] or None


def _content(lines: list[bytes], at: int) -> tuple[int, bytes]:
    """Where the file ends whose bytes begin there, and these; 0 where it is none."""
    found = bytearray()
    for number in range(at, len(lines)):
        line = lines[number].rstrip(b"\r")
        if line.strip() == b"end":
            return number + 1 if found else 0, bytes(found)
        if not line:
            continue
        most = ((line[0] - 32 & 63) * 4 + 5) // 3  # some write a sum or spaces behind
        try:
            found += binascii.a2b_uu(line[:most])
        except binascii.Error:
            return 0, b""
    return 0, b""
