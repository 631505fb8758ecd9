"""The pages of mail, and what providers bring."""

import base64
import importlib
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import clear_url_caches

from supportdesk import crypto
from tests.factories import agent
from tests.tickets.mail.test_thread import mail, reply_of, take_in
from tests.tickets.mail.test_whose import opened
from tickets import actions
from tickets.actions import mailboxes
from tickets.mail import incoming
from tickets.models import ImapAccount, InboundEmail, Mailbox, MailRule, OutboundEmail, Ticket
from tickets.views import hooks


@pytest.fixture
def box(db):
    return Mailbox.objects.get(name="support")


IMAP = {"host": "imap.example.com", "port": "993", "security": "tls", "user": "desk", "login": "password", "secret": "s3cret-of-imap", "folder": "INBOX", "active": "on"}  # fmt: skip


def test_a_mailbox_is_made_and_mistakes_are_named_where_they_are(db, browser_of, administrator, box):
    client = browser_of(administrator)
    new = {"name": "billing", "address": "billing@example.com", "display_name": "Billing", "tier": box.tier_id, "priority": "high", "language": "de", "reopen_days": "3", "active": "on"}  # fmt: skip
    assert client.post("/settings/mail/new/", new).status_code == 302
    assert Mailbox.objects.get(name="billing").reopen_days == 3
    wrong = client.post("/settings/mail/new/", new | {"name": "other", "address": "BILLING@example.com"})
    assert wrong.status_code == 422
    assert "Another mailbox has that address" in wrong.content.decode()
    assert (
        "without +"
        in client.post("/settings/mail/new/", new | {"name": "p", "address": "a+b@example.com"})
        .content.decode()
        .lower()
    )


def test_secrets_of_imap_are_written_and_never_shown(db, browser_of, administrator, box):
    client = browser_of(administrator)
    url = f"/settings/mail/{box.pk}/imap/"
    assert client.post(url, IMAP).status_code == 302
    account = ImapAccount.objects.get()
    assert (account.reveal()[0], b"s3cret" in bytes(account.secret)) == ("s3cret-of-imap", False)
    shown = (
        client.get(url).content.decode()
        + client.get("/audit/").content.decode()
        + client.get(f"/settings/mail/{box.pk}/").content.decode()
    )
    assert "s3cret" not in shown
    client.post(url, IMAP | {"secret": "", "folder": "Support"})
    account.refresh_from_db()
    assert (account.folder, account.reveal()[0]) == ("Support", "s3cret-of-imap")
    for other in ({"host": "imap.evil.example"}, {"port": "1143"}, {"security": "starttls"}):  # it goes nowhere else
        stolen = client.post(url, IMAP | {"secret": "", "folder": "Support"} | other)
        assert (stolen.status_code, "write the secret again" in stolen.content.decode()) == (422, True), other
    assert "reads the password" in client.post(url, IMAP | {"security": "none"}).content.decode()
    client.post(url, {"remove": "1"})
    assert not ImapAccount.objects.exists()


def test_trying_a_server_that_is_not_there_says_so(db, browser_of, administrator, box):
    ImapAccount.objects.create(
        mailbox=box, host="127.0.0.1", port=1, security="none", user="x", secret=crypto.encrypt("x")
    )
    answer = browser_of(administrator).post(f"/settings/mail/{box.pk}/imap/test/", headers={"HX-Request": "true"})
    assert (answer.status_code, "Nothing listens at 127.0.0.1, port 1." in answer.content.decode()) == (200, True)


def test_a_template_is_previewed_saved_and_taken_back(db, browser_of, administrator):
    client, url = browser_of(administrator), "/settings/mail/templates/received/?language=fr"
    typed = {"subject": "Re: {{subject}}", "text": "Bonjour **{{requester}}** <script>x</script>", "active": "on"}
    preview = client.post(url, typed | {"preview": "1"}).content.decode()
    assert "<strong>Sofia Marin</strong>" in preview
    assert "<script>x" not in preview
    assert client.post(url, typed).status_code == 302
    assert "fr" in client.get("/settings/mail/templates/").content.decode()
    assert client.post(url, typed | {"text": "{{nonsense}}"}).status_code == 422
    assert client.post(url, {"reset": "1"}).status_code == 302
    assert client.get("/settings/mail/templates/nonsense/").status_code == 404


def test_a_rule_on_mail_is_tried_on_past_mail_first(db, browser_of, administrator):
    take_in(mail(Subject="Refund for 4711"))
    take_in(mail(Subject="Other", Message_ID="<2@x>"))
    client = browser_of(administrator)
    rule = {
        "name": "Refunds",
        "position": "0",
        "conditions": "subject contains refund\nfrom ends @shop.example",
        "add_tags": "refund",
        "active": "on",
    }
    trial = client.post("/settings/mail/rules/new/", rule | {"dry-run": "1"}).content.decode()
    assert "picks 1 of the newest 2 mails" in trial
    assert not MailRule.objects.exists()
    assert client.post("/settings/mail/rules/new/", rule).status_code == 302
    kept = MailRule.objects.get()
    assert kept.recipe == {"add_tags": ["refund"]}
    assert "subject contains refund" in client.get(f"/settings/mail/rules/{kept.pk}/").content.decode()
    for wrong in ("subject resembles x", "header contains x", "subject contains", ""):
        assert client.post("/settings/mail/rules/new/", rule | {"name": "y", "conditions": wrong}).status_code == 422, (
            wrong
        )
    assert (
        "what it does"
        in client.post("/settings/mail/rules/new/", rule | {"name": "z", "add_tags": ""}).content.decode()
    )


def test_an_eml_file_is_taken_in_and_anything_else_refused(db, browser_of, tier1, box):
    client = browser_of(tier1)

    def upload(content):
        return client.post("/mail/upload/", {"mailbox": box.pk, "file": SimpleUploadedFile("a.eml", content)})

    answer = upload(mail().as_bytes())
    made = Ticket.objects.get()
    assert answer["Location"] == f"/tickets/{made.number}/"
    assert InboundEmail.objects.get().remote == f"uploaded by {tier1.email}"
    assert upload(mail().as_bytes()).status_code == 302
    assert Ticket.objects.count() == 1
    assert "no mail" in upload(b"%PDF-1.7 something").content.decode()
    assert upload(b"").status_code == 422


def test_the_ticket_page_shows_how_a_mail_came_and_what_became_of_an_answer(db, browser_of, tier1, settings):
    settings.MAIL_TRUSTED_RELAYS = ["mx.example.com"]
    raw = b"Authentication-Results: mx.example.com; dmarc=fail; spf=pass\n" + mail(From=tier1.email).as_bytes()
    made = Ticket.objects.get(number=take_in(raw).ticket)
    client = browser_of(tier1)
    sent = reply_of(made, tier1)
    page = client.get(f"/tickets/{made.number}/").content.decode()
    assert all(words in page for words in ("Unverified sender", "DMARC fails", "Queued"))
    OutboundEmail.objects.update(bounced_at=made.created_at, sent_at=made.created_at, error="550 no")
    page = client.get(f"/tickets/{made.number}/").content.decode()
    assert "Did not arrive" in page
    assert "Send again" in page
    assert (
        client.post(f"/tickets/{made.number}/mail/{sent.message_id}/again/", headers={"HX-Request": "true"}).status_code
        == 200
    )
    details = client.get(f"/tickets/{made.number}/mail/{made.messages.first().pk}/details/").content.decode()
    assert "SPF pass" in details
    assert "authentication-results" in details


def test_pictures_stand_in_the_text_and_remote_ones_wait_to_be_asked_for(db, browser_of, tier1):
    message = mail()
    message.add_alternative(
        '<p>See <img src="cid:shot@x"></p><img src="https://track.example/p.gif"><img src="cid:fake@x">', subtype="html"
    )
    related = message.get_payload()[1]
    related.add_related(b"\x89PNG\r\n\x1a\nrest", "image", "png", cid="<shot@x>")
    related.add_related(b"<script>alert(1)</script>", "image", "png", cid="<fake@x>")
    made = Ticket.objects.get(number=take_in(message).ticket)
    client = browser_of(tier1)
    page = client.get(f"/tickets/{made.number}/").content.decode()
    first = made.messages.first()
    shot, fake = first.attachments.order_by("pk")
    assert f'src="/tickets/{made.number}/inline/{shot.pk}/"' in page
    assert "track.example" not in page
    picture = client.get(f"/tickets/{made.number}/inline/{shot.pk}/")
    assert (picture["Content-Type"], picture["X-Content-Type-Options"]) == ("image/png", "nosniff")
    assert "sandbox" in picture["Content-Security-Policy"]
    assert client.get(f"/tickets/{made.number}/inline/{fake.pk}/").status_code == 404
    asked = client.get(f"/tickets/{made.number}/mail/{first.pk}/pictures/")
    assert "https://track.example/p.gif" in asked.content.decode()
    assert asked["Referrer-Policy"] == "no-referrer"
    assert "https:" in asked["Content-Security-Policy"]
    assert "https:" not in client.get(f"/tickets/{made.number}/")["Content-Security-Policy"]


def test_spam_leaves_the_queue_for_its_view_and_comes_back(db, browser_of, tier1):
    made = opened()
    client = browser_of(tier1)
    client.post(f"/tickets/{made.number}/spam/", {"spam": "yes"})
    assert str(made.number) not in client.get("/tickets/").content.decode()
    for where in ("?view=spam", "?q=is:spam"):
        assert str(made.number) in client.get(f"/tickets/{where}").content.decode()
    client.post(f"/tickets/{made.number}/spam/", {"spam": "no"})
    assert str(made.number) in client.get("/tickets/").content.decode()


def test_the_list_of_mail_is_the_same_number_of_statements_for_few_and_many(
    db, browser_of, administrator, box, django_assert_max_num_queries
):
    client = browser_of(administrator)
    client.get(f"/settings/mail/{box.pk}/")
    for n in range(12):
        take_in(mail(Message_ID=f"<{n}@x>", Subject=f"S{chr(65 + n)}"))
    with django_assert_max_num_queries(14):
        assert client.get(f"/settings/mail/{box.pk}/").content.decode().count("<tr>") == 13
    with django_assert_max_num_queries(14):
        client.get("/mail/outgoing/")
    with django_assert_max_num_queries(14):
        client.get("/settings/mail/")


# ------------------------------------------------------------------------------------------- webhooks
@pytest.fixture
def hook(settings):
    """The address of a provider's webhook, as it is when it is switched on."""
    import supportdesk.urls
    import tickets.urls

    def reload():
        importlib.reload(tickets.urls)
        importlib.reload(supportdesk.urls)
        clear_url_caches()

    settings.MAIL_HOOKS, settings.ANYMAIL = (
        ["postmark", "mailgun"],
        {"WEBHOOK_SECRET": "desk:secret", "MAILGUN_WEBHOOK_SIGNING_KEY": "key-1"},
    )
    reload()
    yield "/mail/hooks/postmark/inbound/"
    settings.MAIL_HOOKS = []
    reload()


POSTMARK = {
    "FromFull": {"Email": "sofia@shop.example", "Name": "Sofia"}, "From": "sofia@shop.example", "ToFull": [{"Email": "tech@example.com"}], "OriginalRecipient": "tech@example.com",
    "Subject": "By hook", "TextBody": "It hangs.", "MessageID": "x", "Headers": [{"Name": "Message-ID", "Value": "<h1@shop.example>"}], "Attachments": [],
}  # fmt: skip


def test_a_provider_brings_mail_and_only_with_its_secret(hook, db):
    secret = {"Authorization": "Basic " + base64.b64encode(b"desk:secret").decode()}
    call = {"data": json.dumps(POSTMARK), "content_type": "application/json"}
    assert Client().post(hook, **call).status_code == 400
    assert (
        Client()
        .post(hook, **call, headers={"Authorization": "Basic " + base64.b64encode(b"desk:wrong").decode()})
        .status_code
        == 400
    )
    assert not InboundEmail.objects.exists()
    assert Client().post(hook, **call, headers=secret).status_code == 200
    kept = InboundEmail.objects.get()
    assert (kept.mailbox.name, kept.via) == ("tech", "webhook")
    assert Ticket.objects.get(number=incoming.apply(kept.pk).ticket).messages.get().text == "It hangs."


def test_what_cannot_be_stored_is_brought_again(hook, db, monkeypatch):
    from django.db import OperationalError

    def away(*arguments, **more):
        raise OperationalError("gone")

    monkeypatch.setattr(incoming, "store", away)
    secret = {"Authorization": "Basic " + base64.b64encode(b"desk:secret").decode()}
    client = Client(raise_request_exception=False)
    assert client.post(hook, json.dumps(POSTMARK), content_type="application/json", headers=secret).status_code == 500


def test_providers_that_are_not_switched_on_have_no_address(db):
    assert hooks.patterns() == []
    assert Client().post("/mail/hooks/postmark/inbound/", {}).status_code == 404


def test_a_signed_out_reader_gets_no_mail(db):
    made = opened()
    pk = made.messages.first().pk
    for path in (f"/tickets/{made.number}/mail/{pk}/details/", f"/tickets/{made.number}/mail/{pk}/pictures/"):
        assert "/accounts/login/" in Client().get(path)["Location"]
    by = agent(1)
    actions.note(number=made.number, by=by, text="x")
    mailboxes.rated_ticket(number=made.number, signature=crypto.sign("rate", made.number))
