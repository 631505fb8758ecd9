"""S/MIME as OpenSSL makes it: signed shown, opaque signatures unpacked, encrypted kept."""

import subprocess

import pytest

from tickets.mail import body, parsing

INNER = b"""Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8

Gr\xc3\xbc\xc3\x9fe, see the file.
--b
Content-Type: text/csv; name=orders.csv
Content-Disposition: attachment; filename=orders.csv

1,2
--b--
"""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A function that signs or encrypts a MIME entity with OpenSSL."""
    folder = tmp_path_factory.mktemp("smime")
    key, cert = folder / "key", folder / "cert"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sofia@shop.example", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip

    def make(*how: str, content: bytes = INNER) -> bytes:
        who = ["-signer", cert, "-inkey", key] if "-sign" in how else [cert]
        arguments = ["openssl", "smime", *how, "-from", "sofia@shop.example", "-subject", "Signed", *who]
        return subprocess.run(arguments, check=True, capture_output=True, input=content).stdout

    return make


def test_an_opaque_signature_is_unpacked(sealed):
    mail = parsing.parse(sealed("-sign", "-nodetach", "-binary"))
    assert (mail.text, mail.protection) == ("Grüße, see the file.", "signed")
    assert [(file.name, file.content.strip()) for file in mail.files] == [("orders.csv", b"1,2")]


def test_a_signature_beside_the_text_is_shown(sealed):
    mail = parsing.parse(sealed("-sign", "-binary"))
    assert ("see the file" in mail.text, mail.protection) == (True, "signed")
    assert [file.name for file in mail.files] == ["orders.csv"]


def test_encrypted_mail_is_kept(sealed):
    mail = parsing.parse(sealed("-encrypt", "-aes256"))
    assert mail.protection == "encrypted"
    assert [file.name for file in mail.files] == ["smime.p7m"]


def test_signatures_within_signatures_end_somewhere(sealed):
    content = INNER
    for _ in range(body.MOST_SIGNED + 3):
        content = sealed("-sign", "-nodetach", "-binary", content=content)
    mail = parsing.parse(content)
    assert mail.protection == "signed"
    assert [file.name for file in mail.files] == ["smime.p7m"]


@pytest.mark.parametrize("broken", [b"", b"\x30", b"\x30\x80" * 5000, b"MIIB!"])
def test_a_broken_one_stays_a_file(broken):
    import base64

    raw = b"From: a@b.example\nContent-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\nContent-Transfer-Encoding: base64\n\n"
    mail = parsing.parse(raw + base64.encodebytes(broken))
    assert mail.protection == "signed"
