"""Mail that came back: whom it did not reach, for how long, and which mail it was."""

import pytest

from tests.tickets.mail.test_parsing import read

COPY = "Received: from x.example\nFrom: support@desk.example\nTo: gone@shop.example\nCc: fine@shop.example\nSubject: Re: Lamp\nMessage-ID: <ours-1@desk.example>\n"
TEXT = (
    "From: MAILER-DAEMON@mx.example\nReturn-Path: <>\nTo: support@desk.example\nSubject: Undeliverable mail\n{}\nIt could not be delivered.\n\n{}\n\n{}\n\n"
    + COPY
)


def report(*groups, carried=f"Content-Type: message/rfc822\n\n{COPY}", how=""):
    status = "\n\n".join(["Reporting-MTA: dns; mx.example", *groups])
    return (
        "From: MAILER-DAEMON@mx.example\nSubject: failure\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        f"--b\nContent-Type: text/plain\n\nSorry.\n--b\nContent-Type: message/delivery-status\n{how}\n{status}\n\n--b\n{carried}\n--b--\n"
    )


def group(address, action, status, diagnostic=""):
    said = f"\nDiagnostic-Code: smtp; {diagnostic}" if diagnostic else ""
    return f"Final-Recipient: rfc822; {address}\nAction: {action}\nStatus: {status}{said}"


def test_of_several_recipients_those_count_whom_it_did_not_reach():
    bounce = read(
        report(
            group("ok@shop.example", "delivered", "2.0.0"),
            group("gone@shop.example", "failed", "5.1.1", "550 5.1.1 unknown"),
            group("late@shop.example", "delayed", "4.2.2"),
        )
    ).bounce
    assert (bounce.recipients, bounce.permanent, bounce.reason) == (["gone@shop.example"], True, "550 5.1.1 unknown")
    assert bounce.of == ["ours-1@desk.example"]


@pytest.mark.parametrize(
    "line", ["----- The original message follows -----", "--- Below this line is a copy of the message.", ""]
)
@pytest.mark.parametrize("more", ["", "Auto-Submitted: auto-replied\n"])
def test_who_stands_in_the_copy_did_nothing(line, more):
    bounce = read(TEXT.format(more, "Host 10.4.12.7 said: 550 No such user <gone@shop.example>", line)).bounce
    assert (bounce.recipients, bounce.permanent) == (["gone@shop.example"], True)
    assert bounce.reason.startswith("Host 10.4.12.7 said: 550")
    assert "ours-1@desk.example" in bounce.of


def test_a_server_that_names_only_the_mail_itself():
    bounce = read(
        "From: post_master@phone.example\nSubject: Re: Lamp\n\nError: Invalid user address\n\n550 - no such user here: 0123@phone.example"
    ).bounce
    assert bounce.recipients == ["0123@phone.example"]


@pytest.mark.parametrize(
    "carried",
    [
        f"Content-Type: message/rfc822\n\n\n{COPY}",
        f"Content-Type: text/rfc822-headers\n\n{COPY}",
        f"Content-Type: message/global-headers\n\n{COPY}",
        "Content-Type: text/plain\nMessage-ID: <ours-1@desk.example>\n\nthe text",
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nTWVzc2FnZS1JRDogPG91cnMtMUBkZXNrLmV4YW1wbGU+ClN1YmplY3Q6IExhbXAKCng=",
    ],
)
def test_the_mail_that_came_back_is_found_wherever_it_stands(carried):
    assert read(report(group("gone@shop.example", "failed", "5.1.1"), carried=carried)).bounce.of == [
        "ours-1@desk.example"
    ]


def test_a_report_that_another_server_passed_on_is_one():
    inner = report(group("gone@shop.example", "failed", "5.1.1"))
    outer = f"From: mailer-daemon@gate.example\nSubject: Returned mail\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: text/plain\n\nSee below.\n--o\nContent-Type: message/rfc822\n\n{inner}\n--o--"
    bounce = read(outer).bounce
    assert bounce.recipients == ["gone@shop.example"]
    assert "ours-1@desk.example" in bounce.of


def test_a_report_whose_fields_are_encoded_or_beyond_ascii():
    encoded = "Content-Transfer-Encoding: base64\n"
    fields = "RmluYWwtUmVjaXBpZW50OiByZmM4MjI7IGdvbmVAc2hvcC5leGFtcGxlCkFjdGlvbjogZmFpbGVkClN0YXR1czogNS4xLjEK"
    text = report(how=encoded).replace("Reporting-MTA: dns; mx.example", fields)
    assert read(text).bounce.recipients == ["gone@shop.example"]
    beyond = report(group("gone@shop.example", "failed", "5.1.1")).replace(
        "message/delivery-status", "message/global-delivery-status"
    )
    assert read(beyond).bounce.recipients == ["gone@shop.example"]


def test_a_report_without_fields_is_read_by_its_words():
    text = report("X: y").replace("Sorry.", ">>> gone@shop.example\n550 no mailbox here by that name (#5.1.1)")
    bounce = read(text).bounce
    assert (bounce.recipients, bounce.permanent) == (["gone@shop.example"], True)


def test_a_read_receipt_belongs_to_what_was_read():
    mail = read(
        "From: a@b.example\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\nContent-Type: text/plain\n\nRead.\n"
        "--b\nContent-Type: message/disposition-notification\n\nOriginal-Message-ID: <ours-1@desk.example>\nDisposition: manual-action; displayed\n--b--"
    )
    assert (mail.bounce, mail.auto_reply, mail.references) == (None, True, ["ours-1@desk.example"])


def test_a_complaint_is_a_programs_and_nobodys_absence():
    mail = read(
        "From: fbl@isp.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\nAuto-Submitted: auto-generated\n\n--b\nContent-Type: text/plain\n\nSpam.\n"
        "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n--b--"
    )
    assert (mail.bounce, mail.automatic, mail.auto_reply) == (None, True, False)
    assert [file.name for file in mail.files] == ["complaint.txt"]
