"""The ways in: SMTP, LMTP and IMAP, with real clients and servers."""

import imaplib
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.db import OperationalError

from bench.dovecot import wait_for_port
from supportdesk import crypto
from supportdesk.errors import Invalid
from tests.tickets.mail.conftest import listening
from tickets.mail import imap, incoming, oauth
from tickets.models import ImapAccount, ImapLogin, InboundEmail, Mailbox, Ticket


def raw(subject="Help", number=1, to="support@example.com"):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Sofia <sofia@shop.example>", to, subject
    message["Message-ID"] = f"<way{number}@shop.example>"
    message.set_content("It hangs.\nReally.")
    return message.as_bytes().replace(b"\n", b"\r\n")


# ----------------------------------------------------------------------------------- SMTP and LMTP
def test_250_means_that_it_is_committed_byte_for_byte_with_its_envelope(listener):
    sent = raw()
    with smtplib.SMTP("127.0.0.1", listener[0]) as client:
        refused = client.sendmail("bounce+1@shop.example", ["support@example.com"], sent)
    assert refused == {}
    kept = InboundEmail.objects.get()
    assert bytes(kept.raw).replace(b"\r\n", b"\n") == sent.replace(b"\r\n", b"\n")
    assert (kept.via, kept.envelope_from, kept.envelope_to) == (
        "smtp",
        "bounce+1@shop.example",
        ["support@example.com"],
    )
    assert kept.remote.startswith("127.0.0.1")
    assert incoming.apply(kept.pk).outcome == "ticket"


def test_only_known_mailboxes_are_accepted(listener):
    with smtplib.SMTP("127.0.0.1", listener[0]) as client:
        client.ehlo()
        client.mail("a@b.example")
        assert client.rcpt("nobody@example.com")[0] == 550
        assert client.rcpt("someone@elsewhere.example")[0] == 550
        assert client.rcpt("SUPPORT+t1042.abcdefghijklmnopqrst@example.com")[0] == 250
        Mailbox.objects.filter(name="tech").update(active=False)
        assert client.rcpt("tech@example.com")[0] == 550


def test_451_while_the_database_is_away(listener, monkeypatch):
    def away(*arguments, **more):
        raise OperationalError("gone")

    with smtplib.SMTP("127.0.0.1", listener[0]) as client:
        client.ehlo()
        client.mail("a@b.example")
        client.rcpt("support@example.com")
        monkeypatch.setattr(incoming, "store", away)
        assert client.data(raw())[0] == 451
        monkeypatch.undo()
        client.mail("a@b.example")
        client.rcpt("support@example.com")
        assert client.data(raw())[0] == 250
    assert InboundEmail.objects.count() == 1


def test_451_for_whatever_else_goes_wrong(listener, monkeypatch):
    def broken(*arguments, **more):
        raise RuntimeError("a surprise")

    monkeypatch.setattr(incoming, "store", broken)
    with smtplib.SMTP("127.0.0.1", listener[0]) as client:
        client.ehlo()
        client.mail("a@b.example")
        client.rcpt("support@example.com")
        assert client.data(raw())[0] == 451


def test_a_mail_to_two_mailboxes_is_one_message_with_two_envelopes(listener):
    with smtplib.SMTP("127.0.0.1", listener[0]) as client:
        client.sendmail("a@b.example", ["support@example.com", "tech@example.com"], raw())
    assert incoming.drain() == 1
    assert sorted(InboundEmail.objects.values_list("mailbox__name", "state")) == [
        ("support", "applied"),
        ("tech", "duplicate"),
    ]
    assert Ticket.objects.count() == 1


def test_what_is_too_large_is_refused_before_it_is_sent_and_while_it_is(listener, settings):
    settings.MAIL_MAX_MB = 1
    with smtplib.SMTP("127.0.0.1", listener[0]) as client:
        client.ehlo()
        assert client.mail("a@b.example", ["size=2000000"])[0] == 552
        client.mail("a@b.example")
        client.rcpt("support@example.com")
        assert client.data(raw() + b"x" * 70 * 20_000)[0] == 552
    assert not InboundEmail.objects.exists()


def test_long_lines_and_eight_bit_bytes_come_through(listener):
    sent = b"From: a@b.example\r\nSubject: Gr\xfc\xdfe\r\n\r\n" + b"x" * 300_000 + b"\xe9\r\n.dot\r\n"
    with smtplib.SMTP("127.0.0.1", listener[0]) as client:
        client.sendmail("a@b.example", ["support@example.com"], sent)
    assert bytes(InboundEmail.objects.get().raw) == sent


def test_lmtp_answers_for_each_recipient(listener):
    with smtplib.LMTP("127.0.0.1", listener[1]) as client:
        client.lhlo("test") if hasattr(client, "lhlo") else client.ehlo()
        client.mail("a@b.example")
        codes = [client.rcpt(f"{name}@example.com")[0] for name in ("support", "nobody", "tech")]
        assert codes == [250, 550, 250]
        assert client.data(raw())[0] == 250
        assert client.getreply()[0] == 250  # RFC 2033: one for each that was accepted
        assert client.noop()[0] == 250
    assert InboundEmail.objects.count() == 2


@pytest.mark.parametrize("body", [b"\r\n", raw() + b"x" * 1_200_000])
def test_lmtp_answers_for_each_recipient_also_what_it_refuses(listener, settings, body):
    settings.MAIL_MAX_MB = 1
    with smtplib.LMTP("127.0.0.1", listener[1]) as client:
        client.ehlo()
        client.mail("a@b.example")
        for name in ("support", "tech"):
            client.rcpt(f"{name}@example.com")
        assert client.data(body)[0] // 100 == 5
        assert client.getreply()[0] // 100 == 5
        assert client.noop()[0] == 250


def test_a_client_that_trickles_is_left(listener, monkeypatch):
    from tickets.mail import listener as module

    monkeypatch.setattr(module, "WATCHING", 0.5)
    with smtplib.SMTP("127.0.0.1", listener[0], timeout=10) as client:
        client.ehlo()
        client.mail("a@b.example")
        client.rcpt("support@example.com")
        assert client.docmd("DATA")[0] == 354
        client.sock.sendall(b"Subject: slow\r\n")
        assert client.sock.recv(100) == b""
        client.close()


def test_mail_may_come_encrypted(boxes, settings, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=desk.example",
         "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")], check=True, capture_output=True,
    )  # fmt: skip
    settings.MAIL_TLS_CERT, settings.MAIL_TLS_KEY = str(tmp_path / "cert"), str(tmp_path / "key")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert"))
    trusted.check_hostname = False
    with listening() as (port, _), smtplib.SMTP("127.0.0.1", port) as client:
        client.starttls(context=trusted)
        client.sendmail("a@b.example", ["support@example.com"], raw())
    assert InboundEmail.objects.count() == 1


def test_an_empty_sender_gets_no_automatic_answer(listener):
    with smtplib.SMTP("127.0.0.1", listener[0]) as client:
        client.sendmail("", ["support@example.com"], raw())
    kept = InboundEmail.objects.get()
    assert kept.envelope_from == ""
    incoming.apply(kept.pk)
    assert Ticket.objects.get().messages.get().automatic


def test_a_client_that_hangs_up_half_way_leaves_nothing(listener):
    with socket.create_connection(("127.0.0.1", listener[0])) as client:
        client.recv(200)
        for line in (b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<support@example.com>\r\n", b"DATA\r\n"):
            client.sendall(line)
            client.recv(500)
        client.sendall(raw())
    time.sleep(0.3)
    assert not InboundEmail.objects.exists()


# --------------------------------------------------------------------------------------------- IMAP
@pytest.fixture
def account(boxes, dovecot, request):
    user = f"u{abs(hash(request.node.name)) % 10**9}"
    return ImapAccount.objects.create(
        mailbox=Mailbox.objects.get(name="support"), host="127.0.0.1", port=dovecot.port, security="none", user=user,
        secret=crypto.encrypt("secret"), done_folder="Done",
    )  # fmt: skip


@pytest.fixture
def fetching():
    """Fetchers in threads of their own, which end with the test."""
    stopped = threading.Event()
    thread = threading.Thread(target=imap.serve, args=(stopped,), daemon=True)
    thread.start()
    yield
    stopped.set()
    thread.join(60)
    assert not thread.is_alive()


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def test_mail_is_stored_then_moved(account, dovecot):
    dovecot.put(account.user, raw(number=1), raw(number=2))
    with imap.signed_in(account) as box:
        assert imap.fetch(box, account, threading.Event()) == (2, "")
    assert sorted(bytes(one.raw) for one in InboundEmail.objects.all()) == sorted([raw(number=1), raw(number=2)])
    assert (dovecot.count(account.user), dovecot.count(account.user, "Done")) == (0, 2)
    account.refresh_from_db()
    assert (account.taken, account.message_at is not None) == (2, True)


def test_a_folder_that_is_not_there_is_made(account, dovecot, fetching):
    ImapAccount.objects.update(done_folder="Kept mail")
    dovecot.put(account.user, raw())
    wait_until(lambda: InboundEmail.objects.exists())
    wait_until(lambda: dovecot.count(account.user) == 0)


def test_a_crash_between_commit_and_move_makes_one_message(account, dovecot, monkeypatch):
    dovecot.put(account.user, raw())
    with monkeypatch.context() as patched, imap.signed_in(account) as box:
        patched.setattr(imap, "_put_away", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            imap.fetch(box, account, threading.Event())
    with imap.signed_in(account) as box:
        imap.fetch(box, account, threading.Event())
    incoming.drain()
    assert (Ticket.objects.count(), InboundEmail.objects.count()) == (1, 1)
    assert dovecot.count(account.user) == 0


def test_a_move_that_always_fails_keeps_the_mail_once_and_says_so(account, dovecot, monkeypatch):
    def refused(*a):
        raise imaplib.IMAP4.error("over quota")

    dovecot.put(account.user, raw())
    monkeypatch.setattr(imap, "_put_away", refused)
    stored = imap.Stored()
    with imap.signed_in(account) as box:
        said = [imap.fetch(box, account, threading.Event(), stored) for _ in range(3)]
    assert ["cannot be taken" in trouble for _, trouble in said] == [True, True, True]
    with imap.signed_in(account) as box:  # another fetcher, after a restart
        imap.fetch(box, account, threading.Event())
    assert InboundEmail.objects.count() == 1


@pytest.mark.parametrize("can", ["MOVE", "UIDPLUS", ""])
def test_what_others_marked_as_deleted_stays_theirs(account, dovecot, can):
    dovecot.put(account.user, raw(number=1), raw(number=2))
    with imaplib.IMAP4("127.0.0.1", dovecot.port) as colleague:
        colleague.login(account.user, "secret")
        colleague.select("INBOX")
        colleague.store("1", "+FLAGS", "\\Deleted")
        with imap.signed_in(account) as box:
            box.client.capabilities = (can,)
            assert imap.fetch(box, account, threading.Event()) == (1, "")
            assert imap.fetch(box, account, threading.Event()) == (0, "")
    assert dovecot.count(account.user) == (1 if can else 2)
    assert dovecot.count(account.user, "Done") == 1


def test_what_could_not_be_taken_is_taken_later_though_somebody_read_it(account, dovecot, monkeypatch):
    ImapAccount.objects.update(done_folder="")
    account.refresh_from_db()
    with imap.signed_in(account) as box:
        imap.fetch(box, account, threading.Event())
    dovecot.put(account.user, raw(number=1), raw(number=2))
    give = imap._raw
    with monkeypatch.context() as patched, imap.signed_in(account) as box:
        patched.setattr(imap, "_raw", lambda box, uid: give(box, uid) if uid == "2" else int("x"))
        assert imap.fetch(box, account, threading.Event())[0] == 1
    with imaplib.IMAP4("127.0.0.1", dovecot.port) as colleague:
        colleague.login(account.user, "secret")
        colleague.select("INBOX")
        colleague.store("1", "+FLAGS", "\\Seen")
    with imap.signed_in(account) as box:
        assert imap.fetch(box, account, threading.Event()) == (1, "")
    assert InboundEmail.objects.count() == 2


def test_without_a_folder_for_it_mail_is_marked_as_read_and_stays(account, dovecot):
    ImapAccount.objects.update(done_folder="")
    account.refresh_from_db()
    dovecot.put(account.user, raw())
    for expected in (1, 0):
        with imap.signed_in(account) as box:
            assert imap.fetch(box, account, threading.Event()) == (expected, "")
    assert dovecot.count(account.user) == 1


def test_one_message_that_the_server_does_not_give_delays_no_other(account, dovecot, monkeypatch):
    dovecot.put(account.user, raw(number=1), raw(number=2))
    give = imap._raw

    def broken(box, uid):
        if uid == "1":
            raise imaplib.IMAP4.error("cannot be read")
        return give(box, uid)

    monkeypatch.setattr(imap, "_raw", broken)
    with imap.signed_in(account) as box:
        count, trouble = imap.fetch(box, account, threading.Event())
    assert (count, "Message 1 cannot be taken" in trouble) == (1, True)
    assert InboundEmail.objects.count() == 1


def test_mail_that_somebody_read_elsewhere_is_taken_all_the_same(account, dovecot):
    ImapAccount.objects.update(done_folder="")
    account.refresh_from_db()
    with imap.signed_in(account) as box:
        imap.fetch(box, account, threading.Event())
    dovecot.put(account.user, raw())
    with imaplib.IMAP4("127.0.0.1", dovecot.port) as colleague:
        colleague.login(account.user, "secret")
        colleague.select("INBOX")
        colleague.store("1", "+FLAGS", "\\Seen")
    with imap.signed_in(account) as box:
        assert imap.fetch(box, account, threading.Event()) == (1, "")


@pytest.mark.parametrize("said", [b"1 (RFC822.SIZE 3031 UID 12)", b"1 (UID 12 RFC822.SIZE 3031 FLAGS (\\Seen))"])
def test_the_size_is_found_wherever_the_server_puts_it(monkeypatch, said):
    monkeypatch.setattr(imap, "_command", lambda box, name, uid, what: [said] if "SIZE" in what else [(b"", b"whole")])
    assert imap._raw(None, "1") == b"whole"


def test_a_new_mail_is_noticed_while_waiting_and_the_server_may_restart(account, dovecot, fetching):
    wait_until(lambda: ImapAccount.objects.get().contact_at)
    assert ImapAccount.objects.get().idles
    dovecot.put(account.user, raw(number=1))
    wait_until(lambda: InboundEmail.objects.count() == 1, 10)
    dovecot.stop()
    wait_until(lambda: ImapAccount.objects.get().error)
    assert not ImapAccount.objects.get().is_well
    dovecot.start()
    dovecot.put(account.user, raw(number=2))
    wait_until(lambda: InboundEmail.objects.count() == 2, 40)
    wait_until(lambda: ImapAccount.objects.get().is_well)


def test_a_wrong_password_is_said_and_the_right_one_works_without_a_restart(account, dovecot, fetching):
    ImapAccount.objects.update(secret=crypto.encrypt("wrong"))
    wait_until(lambda: "uthentication" in ImapAccount.objects.get().error, 60)
    ImapAccount.objects.update(secret=crypto.encrypt("secret"))
    wait_until(lambda: ImapAccount.objects.get().is_well, 60)


def test_trying_out_tells_what_was_found_or_what_is_wrong(account, dovecot):
    dovecot.put(account.user, raw())
    assert "INBOX holds 1 messages, 1 of them unread" in imap.try_out(account)
    account.done_folder = "Kept"
    assert "The folder Kept will be made" in imap.try_out(account)
    account.port = 1
    with pytest.raises(OSError, match="refused"):
        imap.try_out(account)


def test_what_is_too_large_becomes_a_note_of_itself(account, dovecot, settings):
    settings.MAIL_MAX_MB = 1
    dovecot.put(account.user, raw() + b"x" * 1_200_000)
    with imap.signed_in(account) as box:
        imap.fetch(box, account, threading.Event())
    kept = bytes(InboundEmail.objects.get().raw)
    assert b"Message-ID: <way1@shop.example>" in kept
    assert b"still on the mail server" in kept
    assert len(kept) < 2000


class Provider(BaseHTTPRequestHandler):
    """A provider's token endpoint, and what Dovecot asks about a token."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.asked.append(body)
        if "grant_type" in body:
            answer = (
                '{"access_token": "tok-1", "refresh_token": "next-one"}'
                if "refresh_token=first" in body or "refresh_token=next-one" in body
                else '{"error": "invalid_grant"}'
            )
        else:
            answer = f'{{"active": true, "email": "{self.server.user}"}}' if "tok-1" in body else '{"active": false}'
        self.send_response(200 if "invalid_grant" not in answer else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *args):
        pass


def test_oauth_signs_in_with_a_fresh_token_and_keeps_a_rotated_one(account, dovecot, monkeypatch):
    server = HTTPServer(("127.0.0.1", dovecot.introspection), Provider)
    server.asked, server.user = [], account.user
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wait_for_port(dovecot.introspection)
    monkeypatch.setitem(oauth.TOKEN_URLS, ImapLogin.MICROSOFT, f"http://127.0.0.1:{dovecot.introspection}/{{tenant}}")
    account.login, account.secret, account.client_id = ImapLogin.MICROSOFT, crypto.encrypt("first"), "app"
    account.save()
    try:
        assert "Signed in" in imap.try_out(account)
        account.refresh_from_db()
        assert account.reveal()[0] == "next-one"
        account.secret = crypto.encrypt("stolen")
        with pytest.raises(Invalid, match="invalid_grant"):
            imap.try_out(account)
    finally:
        server.shutdown()
        server.server_close()
