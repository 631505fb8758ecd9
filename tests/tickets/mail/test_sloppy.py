"""Mail as careless programs write it: each of these was met in the tests of another project."""

import pytest

from tests.tickets.mail.test_parsing import read
from tickets.mail.charsets import decode
from tickets.mail.parsing import Doubt

PDF = "Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: {}\n\nJVBERi0x\n"


# ------------------------------------------------------------------------------------------- headers
@pytest.mark.parametrize(
    "stray",
    ["quite Delivered-To: x@x.example", "example.com>", "---- Original email message ----", "by mx.example with SMTP"],
)
def test_a_line_among_the_headers_that_is_none_ends_them_not(stray):
    mail = read(
        f"Received: from a\n{stray}\nFrom: Kim <kim@shop.example>\nSubject: Help\nContent-Type: text/html\n\n<p>Hello</p>"
    )
    assert (mail.sender, mail.subject, mail.text) == ("kim@shop.example", "Help", "Hello")


def test_a_line_above_the_headers_is_left_out():
    assert read("---- Your mail ----\nFrom: kim@shop.example\nSubject: Help\n\nHello").sender == "kim@shop.example"


def test_a_text_right_below_the_headers_is_the_text():
    assert (
        read("From: kim@shop.example\nSubject: Help\nHello, my lamp.\nIt is dark.").text
        == "Hello, my lamp.\nIt is dark."
    )


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ('"Bank" <=?utf-8?Q?ceo=40bank.example=3E?=@evil.example>', "ceobank.example@evil.example"),
        ("=?utf-8?Q?ceo=40bank.example?=@evil.example", "ceobank.example@evil.example"),
        ("<=?utf-8?Q?kim?=@shop.example>", "kim@shop.example"),
        ("=?utf-8?Q?kim=40shop.example?=", "kim@shop.example"),
        ("<kim@shop.example.>", "kim@shop.example"),
    ],
)
def test_what_is_encoded_in_an_address_changes_no_domain(written, address):
    assert read(f"From: {written}\n\nx").sender == address


def test_addresses_with_nothing_between_them_are_several():
    mail = read("From: kim@shop.example ann@shop.example\nTo: a@desk.example b@desk.example\n\nx")
    assert (mail.sender, mail.doubt) == ("kim@shop.example", Doubt.SEVERAL)
    assert mail.copies == ["a@desk.example", "b@desk.example"]


VIA = "From: 'Ann Lee' via Support <support@desk.example>\nPrecedence: list\n{}\n\nx"


@pytest.mark.parametrize(
    "named",
    [
        "Reply-To: Ann Lee <ann@shop.example>",
        "X-Original-From: Ann Lee <ann@shop.example>\nReply-To: support@desk.example",
        "Reply-To: support@desk.example, ann@shop.example",
        "X-MailFrom: ann@shop.example",
    ],
)
def test_who_wrote_to_a_list_that_sends_in_its_own_name(named):
    mail = read(VIA.format(named))
    assert (mail.sender, mail.sender_name, mail.doubt) == ("ann@shop.example", "Ann Lee", Doubt.NOT_FROM)


@pytest.mark.parametrize(
    "mail", [VIA.format("X: y"), VIA.format("Reply-To: ann@shop.example").replace("Precedence", "X-P")]
)
def test_without_a_list_or_another_name_from_counts(mail):
    assert read(mail).sender == "support@desk.example"


def test_a_list_that_writes_its_loop_mark_brings_mail_of_people():
    mail = read("From: a@b.example\nX-Loop: list@lists.example\nList-Id: <list.lists.example>\n\nx")
    assert (mail.automatic, mail.unanswerable) == (False, True)


def test_a_name_keeps_its_apostrophe():
    assert read("From: 'Ann' of Support <a@b.example>\n\nx").sender_name == "'Ann' of Support"


# ---------------------------------------------------------------------------------------------- parts
@pytest.mark.parametrize(
    "kind",
    [
        r"text/html Content-Transfer-Encoding: 8bit\r\n", 'text/html charset="utf-8"', "text/html, charset=utf-8",
        '"text/html"; charset=utf-8', ": text/html; charset=utf-8", "<text/html>; charset=utf-8",
    ],
)  # fmt: skip
def test_a_content_type_that_is_nearly_one(kind):
    mail = read(f"From: a@b.example\nContent-Type: {kind}\n\n<p>Grüße</p>".encode())
    assert (mail.text, mail.files) == ("Grüße", [])


@pytest.mark.parametrize(
    ("kind", "text"), [("text/enriched", "<bold>Hello</bold> you"), ("text/markdown", "Hello you")]
)
def test_a_text_in_another_form_is_a_text_where_it_is_all(kind, text):
    mail = read(f"From: a@b.example\nContent-Type: {kind}\n\n{text}")
    assert (mail.text, mail.files) == ("Hello you", [])


def test_a_text_in_several_forms_is_one_text():
    forms = [("text/plain", "Hello"), ("text/x-amp-html", "<p>Hello"), ("text/html", "<p>Hello</p>")]
    parts = "".join(f"--b\nContent-Type: {kind}\n\n{text}\n" for kind, text in forms)
    mail = read(f"From: a@b.example\nContent-Type: multipart/alternative; boundary=b\n\n{parts}--b--")
    assert (mail.text, mail.files) == ("Hello", [])


@pytest.mark.parametrize(
    "how", ["base64;", '"base64"', "base64 (by x)", "base-64", "BASE64", "7bit\nContent-Transfer-Encoding: base64"]
)
def test_base64_by_another_name(how):
    mail = read(f"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{PDF.format(how)}--b--")
    assert [file.content for file in mail.files] == [b"%PDF-1"]


@pytest.mark.parametrize("how", ["quoted printable", "quoted-printable;", "quotedprintable", "Quoted_Printable"])
def test_quoted_printable_by_another_name(how):
    mail = read(
        f"From: a@b.example\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {how}\n\nGr=C3=BC=C3=9Fe =\nall"
    )
    assert mail.text == "Grüße all"


@pytest.mark.parametrize("body", ["begin 644 x\n+5&5S=\"!S=')I;F<`\n`\nend", "+5&5S=\"!S=')I;F<`"])
def test_a_part_that_is_uuencoded(body):
    mail = read(
        f"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/csv; name=x.csv\n"
        f"Content-Transfer-Encoding: x-uuencode\n\n{body}\n--b--"
    )
    assert [file.content for file in mail.files] == [b"Test string"]


def test_a_boundary_beyond_ascii():
    mail = read(
        f'From: a@b.example\nContent-Type: multipart/mixed; boundary="bad-µ"\n\n--bad-µ\nContent-Type: text/html\n\n<p>Grüße</p>\n--bad-µ\n{PDF.format("base64")}--bad-µ--\n'.encode()
    )
    assert (mail.text, [file.content for file in mail.files]) == ("Grüße", [b"%PDF-1"])


def test_a_name_in_the_charset_of_the_whole_mail():
    name = "绩效管理.xls".encode("gb18030")
    mail = read(
        b'From: a@b.example\nContent-Type: multipart/mixed; charset="GB2312"; boundary=b\n\n--b\nContent-Type: application/vnd.ms-excel\n'
        b'Content-Disposition: attachment; filename="' + name + b'"\n\nx\n--b--'
    )
    assert [file.name for file in mail.files] == ["绩效管理.xls"]


def test_a_name_in_its_place_alone():
    mail = read(
        "From: a@b.example\nContent-Type: image/jpeg\nContent-Location: http://x.example/a/Photo25.jpg?x=1\n\nx"
    )
    assert [file.name for file in mail.files] == ["Photo25.jpg"]


# ------------------------------------------------------------------------------------------- Japanese
@pytest.mark.parametrize("charset", ["iso-2022-jp", None, "us-ascii", "utf-8"])
def test_japanese_of_seven_bits_with_the_letters_of_windows(charset):
    raw = b"Re: \x1b$B-!8+@Q$N7o\x1b(B (1) \x1b$B-j%F%9%H\x1b(J"
    assert decode(raw, charset) == "Re: ①見積の件 (1) ㈱テスト"


def test_japanese_of_eight_bits_that_says_it_has_seven():
    assert decode("ツール".encode("cp932"), "iso-2022-jp") == "ツール"


def test_korean_of_seven_bits_is_korean():
    assert decode("안녕".encode("iso2022_kr"), "iso-2022-kr") == "안녕"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("kim@shop.example via Webform", ("", "kim@shop.example")),
        ("Kim Lee kim@shop.example", ("Kim Lee", "kim@shop.example")),
        ("kim@shop.example (Kim Lee)", ("Kim Lee", "kim@shop.example")),
        ("=?UTF-8?B?S2ltIDxraW1Ac2hvcC5leGFtcGxlPg==?=", ("Kim", "kim@shop.example")),
        ("kim@shop.example\nthis line was torn off", ("", "kim@shop.example")),
        ("Kim <kim@shop.example> Lee <lee@shop.example>", ("Kim", "kim@shop.example")),
    ],
)
def test_words_beside_an_address_are_not_of_it(written, expected):
    mail = read(f"From: {written}\nSubject: x\n\nx")
    assert (mail.sender_name, mail.sender) == expected


@pytest.mark.parametrize(
    "head",
    [
        'Content-Type: application/zip; x-mode=0600;\nname="x.zip"\nContent-Transfer-Encoding: base64',
        'Content-Type: application/zip; name="x.zip"\ntorn off\nContent-Transfer-Encoding: base64',
    ],
)
def test_headers_of_a_part_that_break_off_are_read(head):
    mail = read(f"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{head}\n\nJVBERi0x\n--b--")
    assert [(file.name, file.content) for file in mail.files] == [("x.zip", b"%PDF-1")]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("attachment; filename=\"R_t.pdf\"; filename*=UTF-8''R%C3%A4t.pdf", "Rät.pdf"),
        ("attachment; filename*=R%C3%A4t.pdf", "Rät.pdf"),
        ("attachment; filename*=UTF-8''R%E4t.pdf", "Rät.pdf"),
        ('attachment filename="x.pdf"', "x.pdf"),
        ('attachment; filename="x.pdf', "x.pdf"),
        (r'attachment; filename="C:\Users\kim\x.pdf"', "x.pdf"),
        ("attachment; filename*0*=UTF-8''R%C3%A4; filename*1=t.pdf", "Rät.pdf"),
    ],
)
def test_names_of_files_as_they_are_given(given, name):
    mail = read(f"From: a@b.example\nContent-Type: application/pdf\nContent-Disposition: {given}\n\nx")
    assert [file.name for file in mail.files] == [name]


@pytest.mark.parametrize(("kind", "text"), [("pdf", ""), ("X-ZIP; name=a.zip", ""), ("text", "PK"), ("<html>", "PK")])
def test_a_content_type_without_its_half(kind, text):
    mail = read(f"From: a@b.example\nContent-Type: {kind}\n\nPK")
    assert (mail.text, len(mail.files)) == (text, 0 if text else 1)


def test_html_with_a_name_is_still_the_text_of_an_alternative():
    words = "One has to read all of this, and it is far longer than what the plain text says of it, so that it counts."
    mail = read(
        "From: a@b.example\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\nNeeds HTML.\n"
        f'--b\nContent-Type: text/html; name="page.html"\n\n<p>{words}</p>\n--b--'
    )
    assert (mail.text, mail.files) == (words, [])


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("windows-874", "cp874", "สวัสดี"), ("x-big5", "big5", "訂單問題"), ("koi8-ru", "koi8_u", "Їжак"), ("x-mac-cyrillic", "mac_cyrillic", "Помогите"),
        ("x-mac-ce", "mac_latin2", "Žluťoučký"), ("x-mac-greek", "mac_greek", "Καλημέρα"), ("mac", "mac_roman", "Grüße"), ("win-1251", "cp1251", "Помогите"),
        ("iso-8859-6-e", "iso8859_6", "مرحبا"), ("utf-16", "utf-16-be", "Grüße"), ("utf-16", "utf-16-le", "Grüße"), ("utf-8", "utf-8-sig", "Grüße"),
    ],
)  # fmt: skip
def test_charsets_by_the_names_that_programs_give_them(charset, codec, text):
    assert decode(text.encode(codec), charset) == text


@pytest.mark.parametrize(
    "subject",
    [
        "Automatisch antwoord: Lamp",
        "Автоматический ответ: Лампа",
        "自動返信",
        "자동 회신: 램프",
    ],
)
def test_absence_in_more_languages(subject):
    assert read(f"From: a@b.example\nSubject: {subject}\n\nx".encode()).auto_reply


def test_a_list_that_sends_in_bulk_brings_mail_of_people():
    mail = read("From: a@b.example\nPrecedence: bulk\nList-Id: <list.lists.example>\n\nx")
    assert (mail.automatic, mail.unanswerable) == (False, True)


def test_mail_that_a_server_mangled_is_still_encrypted():
    mail = read(
        "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n"
        "--b\nContent-Type: application/octet-stream\n\nx\n--b--"
    )
    assert mail.protection == "encrypted"
