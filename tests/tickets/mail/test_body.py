"""Files and texts in forms from before MIME, or broken on the way; text in no charset or in two."""

import binascii

import pytest

from tests.tickets.mail.test_parsing import read
from tickets.mail.charsets import decode


def uuencoded(content: bytes, *, last: str = "`") -> str:
    lines = (binascii.b2a_uu(content[at : at + 45]).decode() for at in range(0, len(content), 45))
    return f"{''.join(lines)}{last}\n"


@pytest.mark.parametrize("last", ["`", " ", ""])
def test_uuencoded_files_are_files_and_the_text_around_them_is_text(last):
    picture, table = bytes(range(256)) * 3, b"1;2\n"
    mail = read(
        f"From: a@b.example\n\nSee below.\n\nbegin 644 Kurve 1.png\n{uuencoded(picture, last=last)}end\n\n"
        f"And:\nbegin 0755 orders.csv\n{uuencoded(table, last=last)}end\nBye"
    )
    assert [(file.name, file.content) for file in mail.files] == [("Kurve 1.png", picture), ("orders.csv", table)]
    assert mail.text == "See below.\n\n\nAnd:\nBye"
    assert [file.content_type for file in mail.files] == ["image/png", "text/csv"]


@pytest.mark.parametrize(
    "text",
    ["begin 644 of the tale\nOnce upon a time", "begin 644 x\n" * 50 + "end", "begin 644 x\n#86)C\nnever ended"],
)
def test_what_only_begins_like_a_uuencoded_file_is_text(text):
    mail = read(f"From: a@b.example\n\n{text}")
    assert (mail.text, mail.files) == (text, [])


def test_the_armour_of_a_signature_is_not_the_text():
    inner = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nPlease help.\n- -- \n- dash\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n=ab\n-----END PGP SIGNATURE-----"
    mail = read(f"From: a@b.example\n\n{inner}\n\nOf the list")
    assert (mail.text, mail.protection) == ("Please help.\n-- \ndash\n\nOf the list", "signed")


@pytest.mark.parametrize(
    "text", ["-----BEGIN PGP SIGNED MESSAGE-----\n\nhalf of it", "-----BEGIN PGP SIGNATURE-----\nx"]
)
def test_a_signature_that_is_not_whole_stays_as_it_is(text):
    assert read(f"From: a@b.example\n\n{text}").text == text


def test_parts_below_another_boundary_than_was_said_are_found():
    mail = read(
        'From: a@b.example\nContent-Type: multipart/alternative; boundary="--=_one"\n\n'
        "----=_other\nContent-Type: text/html;\nContent-Transfer-Encoding: base64\n\nPHA+SGVsbG88L3A+\n----=_other--\n"
    )
    assert mail.text == "Hello"


def test_a_signature_line_is_no_boundary():
    mail = read("From: a@b.example\nContent-Type: multipart/mixed; boundary=x\n\nHello\n\n-- \nKim\n")
    assert "Hello" in mail.text
    assert "Kim" in mail.text


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("Content-Type: message/rfc822\n\nFrom: a@b.example\n\ny", "message.eml"),
        ("Content-Type: message/rfc822\n\nSubject: Order 17\n\ny", "Order 17.eml"),
        ('Content-Type: message/rfc822; name="Old order"\n\nSubject: x\n\ny', "Old order.eml"),
        ('Content-Type: message/rfc822; name="old.EML"\n\nSubject: x\n\ny', "old.EML"),
        ("Content-Type: application/octet-stream\n\nx", "attachment.bin"),
        ("Content-Type: application/x-nobody-knows\n\nx", "attachment.bin"),
        ("Content-Type: image/png\n\nx", "attachment.png"),
    ],
)
def test_files_have_names_that_a_program_opens_them_by(part, name):
    mail = read(
        f"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nHi\n--b\n{part}\n--b--"
    )
    assert [file.name for file in mail.files] == [name]


def test_what_a_server_reports_is_a_file_with_its_words():
    mail = read(
        "From: a@b.example\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: text/plain\n\nHi\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\nAction: failed\nStatus: 5.1.1\n--b--"
    )
    assert [file.name for file in mail.files] == ["delivery-report.txt"]
    assert b"Reporting-MTA: dns; mx.example" in mail.files[0].content
    assert b"Status: 5.1.1" in mail.files[0].content


@pytest.mark.parametrize("charset", [None, "us-ascii"])
@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("тест", "koi8_r"),
        ("Добрый день, заказ 17", "cp1251"),
        ("Это сообщение имеет неправильную кодировку.", "cp1251"),
        ("Καλημέρα, θέλω βοήθεια με την παραγγελία μου, ευχαριστώ", "cp1253"),
        ("Grüße aus Köln", "cp1252"),
        ("été", "cp1252"),
        ("ñ", "cp1252"),
    ],
)
def test_text_that_is_in_no_charset_that_it_names(text, codec, charset):
    assert decode(text.encode(codec), charset) == text


def test_letters_of_another_charset_among_utf8():
    raw = "São três pedidos, não são ".encode() + b"divulga\xe7\xe3o nem fa\xe7a, \xe9 isso" + " é".encode()
    assert decode(raw, "utf-8") == "São três pedidos, não são divulgação nem faça, é isso é"


def test_damage_among_utf8_is_shown_as_damage():
    assert decode("Grüße aus Köln, ".encode() * 4 + b"\xc3", "utf-8").endswith("Köln, �")
