"""winmail.dat (TNEF): texts and files of Outlook."""

import base64
import struct
from email.message import EmailMessage

import compressed_rtf
import pytest

from tickets.mail import parsing

FILE = (
    (2, 0x0006, 0x9002, b"\x01\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"),
    (2, 0x0001, 0x8010, b"report.txt\x00"),
    (2, 0x0006, 0x800F, b"the content"),
)


def tnef(*attributes):
    """A winmail.dat of these attributes: (level, kind, name, content)."""
    said = b"".join(
        struct.pack("<BHHI", level, name, kind, len(content)) + content + struct.pack("<H", sum(content) & 0xFFFF)
        for level, kind, name, content in ((1, 0x0008, 0x9006, struct.pack("<I", 0x00010000)), *attributes)
    )
    return struct.pack("<IH", 0x223E9F78, 1) + said


def binary(name, content):
    """MAPI properties with one of bytes."""
    padded = content + b"\0" * (-len(content) % 4)
    return struct.pack("<IHHII", 1, 0x0102, name, 1, len(content)) + padded


def mail(content, text="see there\n"):
    message = EmailMessage()
    message["From"] = "a@b.example"
    message.set_content(text)
    message.add_attachment(content, maintype="application", subtype="ms-tnef", filename="winmail.dat")
    return message


def test_winmail_dat_is_unpacked_and_a_broken_one_kept():
    message = mail(tnef(*FILE))
    assert [(f.name, f.content) for f in parsing.parse(message.as_bytes()).files] == [("report.txt", b"the content")]
    message.get_payload()[1].set_payload(base64.b64encode(b"x\x9f>broken").decode())
    assert [f.name for f in parsing.parse(message.as_bytes()).files] == ["winmail.dat"]


@pytest.mark.parametrize("files", [FILE, ()])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_text_that_is_rtf_alone_is_read(compressed, files):
    rich = compressed_rtf.compress(rb"{\rtf1\ansi\ansicpg1252 Gr\'fc\'dfe\par see the file}", compressed=compressed)
    found = parsing.parse(mail(tnef((1, 0x0006, 0x9003, binary(0x1009, rich)), *files), text="\n").as_bytes())
    assert found.text == "Grüße\nsee the file"
    assert [f.name for f in found.files] == ["report.txt" for _ in files[:1]]


def test_rtf_that_nobody_can_read_stays_a_file():
    found = parsing.parse(mail(tnef((1, 0x0006, 0x9003, binary(0x1009, b"nonsense")), *FILE)).as_bytes())
    assert "winmail.dat" in [f.name for f in found.files]
