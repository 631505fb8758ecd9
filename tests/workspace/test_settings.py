"""An administrator's first hour: every setting in the browser, with validation, search and an audit line."""

import re
import smtplib

import pytest
from django.core import mail
from django.test import Client

from staff import actions
from staff.models import AuditEntry, Contact, DeskSettings, Membership, Team, Tier, User
from supportdesk import guide, outbox
from supportdesk.errors import Invalid, NotFound, NotPermitted
from tests.factories import UserFactory
from tickets.mail import incoming
from tickets.models import Mailbox
from tickets.sla import rules


@pytest.fixture
def admin(client, administrator):
    client.force_login(administrator)
    return client


def new(**more):
    return {"email": "New@Example.com", "name": "Noor New", "role": "staff", "time_zone": "Asia/Kolkata"} | more


def audited():
    return AuditEntry.objects.exclude(actor=None).first()


# --------------------------------------------------------------------------------------------- people
def test_who_is_invited_sets_a_password_and_is_in(admin):
    answer = admin.post("/settings/people/invite/", new(tier1="agent", tier2="lead"))
    assert answer.status_code == 302
    person = User.objects.get(email="new@example.com")
    assert (person.standing.agent_levels, person.standing.lead_levels) == ({1}, {2})
    assert audited().after["places"] == ["Tier 1 agent", "Tier 2 lead"]
    assert "Invited" in admin.get("/settings/people/?q=noor").content.decode()
    outbox.sweep()
    (sent,) = mail.outbox
    path = "/" + re.search(r"https?://[^/]+/(\S+)", sent.body)[1]
    browser = Client()
    page = browser.get(path)
    secret = "a password of my own"
    assert browser.post(page["Location"], {"password1": secret, "password2": secret})["Location"] == "/home/"
    assert browser.get("/home/").status_code == 200
    assert b"used or is too old" in Client().get(path).content
    with pytest.raises(Invalid):
        actions.invite_again(
            by=User.objects.get(role="administrator", is_active=True), person=User.objects.get(pk=person.pk)
        )


def test_an_invitation_is_sent_again_and_not_to_who_left(admin, administrator):
    admin.post("/settings/people/invite/", new())
    person = User.objects.get(email="new@example.com")
    assert admin.post(f"/settings/people/{person.pk}/invite/").status_code == 302
    outbox.sweep()
    assert len(mail.outbox) == 2
    admin.post(f"/settings/people/{person.pk}/invite/")
    User.objects.filter(pk=person.pk).update(is_active=False)
    outbox.sweep()
    assert len(mail.outbox) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"email": "nobody"}, "valid email"),
        ({"name": " "}, "required"),
        ({"time_zone": "Mars/Olympus"}, "Select a valid choice"),
        ({"role": "king"}, "Select a valid choice"),
        ({"tier1": "boss"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(admin, wrong, words):
    page = admin.post("/settings/people/invite/", new(**wrong))
    assert page.status_code == 422
    assert words in page.content.decode()
    assert "Noor" in page.content.decode() or "name" in wrong
    assert not User.objects.filter(name="Noor New").exists()


def test_an_address_belongs_to_one_person(admin, tier1):
    page = admin.post("/settings/people/invite/", new(email=tier1.email.upper()))
    assert "Somebody has this address already" in page.content.decode()


def test_a_place_is_changed_with_what_it_was_kept(admin, tier1):
    team = Team.objects.first()
    data = new(email=tier1.email, name=tier1.name, tier1="", tier3="agent", teams=[team.pk], active="on")
    assert admin.post(f"/settings/people/{tier1.pk}/", data).status_code == 302
    assert User.objects.get(pk=tier1.pk).standing.agent_levels == {3}
    assert Membership.objects.filter(user=tier1, team=team).exists()
    assert audited().before["places"] == ["Tier 1 agent"]
    admin.post(f"/settings/people/{tier1.pk}/", data | {"role": "auditor", "teams": []})
    assert not Membership.objects.filter(user=tier1).exists()


def test_who_is_switched_off_is_out_at_once(admin, tier1):
    tier1.set_password("x" * 20)
    tier1.save()
    theirs = Client()
    theirs.post("/accounts/login/", {"login": tier1.email, "password": "x" * 20})
    assert theirs.get("/home/").status_code == 200
    admin.post(f"/settings/people/{tier1.pk}/", new(email=tier1.email, tier1="agent"))
    assert theirs.get("/home/").status_code == 302
    assert tier1.email not in admin.get("/settings/people/").content.decode()
    assert tier1.email in admin.get("/settings/people/?gone=1").content.decode()


def test_nobody_shuts_themselves_out(admin, administrator):
    data = new(email=administrator.email, role="administrator")
    page = admin.post(f"/settings/people/{administrator.pk}/", data)
    assert "Another administrator has to do this" in page.content.decode()
    page = admin.post(f"/settings/people/{administrator.pk}/", data | {"role": "staff", "active": "on"})
    assert page.status_code == 422
    administrator.refresh_from_db()
    assert administrator.is_active


def test_the_same_saved_twice_at_once_is_a_word_and_no_traceback(admin, monkeypatch):
    monkeypatch.setattr("staff.actions.directory._wrong", lambda *args: {})
    admin.post("/settings/people/invite/", new())
    answer = admin.post("/settings/people/invite/", new())
    assert answer.status_code == 409
    assert "saved a moment before" in answer.content.decode()


def test_automation_is_nobody_to_edit(admin):
    machine = actions.automation()
    assert admin.get(f"/settings/people/{machine.pk}/").status_code == 404
    with pytest.raises(NotFound):
        actions.save_person(by=UserFactory(role="administrator"), pk=machine.pk, tiers={}, **new(email="x@example.com"))


def test_only_administrators_change_people(tier1, lead):
    for by in (tier1, lead):
        with pytest.raises(NotPermitted):
            actions.save_person(by=by, pk=by.pk, tiers={}, **new(role="administrator"))


# ------------------------------------------------------------------------------ tiers, contacts, teams
def tier_data(**more):
    contact = Contact.objects.first()
    return {
        "name": "Front", "scope": "All that comes", "channels": "Mail\n\nPhone", "handled_by": "Support", "response_min_minutes": 5,
        "response_max_minutes": 60, "contact": contact.pk,
    } | more  # fmt: skip


def test_a_tier_is_renamed_everywhere_at_once_and_stays_so(admin):
    assert admin.post("/settings/tiers/1/", tier_data()).status_code == 302
    tier = Tier.objects.get(level=1)
    assert (tier.name, tier.channels) == ("Front", ["Mail", "Phone"])
    assert audited().action == "tier.saved"
    assert "Front" in admin.get("/tickets/").content.decode()
    guide.load()  # as every start does
    assert Tier.objects.get(level=1).name == "Front"
    rules.bump()


def test_a_range_that_ends_before_it_begins_is_refused(admin):
    page = admin.post("/settings/tiers/1/", tier_data(response_max_minutes=1))
    assert "no shorter than the shortest" in page.content.decode()
    assert admin.get("/settings/tiers/9/").status_code == 404


def test_contacts_and_teams_are_added_and_changed(admin):
    admin.post(
        "/settings/contacts/new/", {"role": "Night shift", "email": "night@example.com", "phone": "1", "hours": "22-6"}
    )
    contact = Contact.objects.get(role="Night shift")
    assert (
        "There is a contact of that name"
        in admin.post("/settings/contacts/new/", {"role": "Night shift", "email": "n@example.com"}).content.decode()
    )
    admin.post(f"/settings/contacts/{contact.pk}/", {"role": "Nights", "email": "night@example.com"})
    assert audited().before["role"] == "Night shift"
    admin.post("/settings/teams/new/", {"name": "Night", "slug": "night-shift"})
    team = Team.objects.get(slug="night-shift")
    admin.post(f"/settings/teams/{team.pk}/", {"name": "Nights", "slug": "other"})
    team.refresh_from_db()
    assert (team.name, team.slug) == ("Nights", "night-shift")
    for slug in ("", "Night Shift", "night-shift"):
        assert admin.post("/settings/teams/new/", {"name": "Again", "slug": slug}).status_code == 422


# --------------------------------------------------------------------------------------------- finding
def test_settings_are_found_by_their_words_and_by_the_names_in_them(admin, tier1):
    page = admin.get("/settings/?q=holidays").content.decode()
    assert "/settings/promises/" in page
    assert "/settings/mail/templates/" not in page
    page = admin.get(f"/settings/?q={tier1.email}").content.decode()
    assert f"/settings/people/{tier1.pk}/" in page
    box = Mailbox.objects.first()
    assert f"/settings/mail/{box.pk}/" in admin.get(f"/settings/?q={box.address}").content.decode()
    assert "No setting fits" in admin.get("/settings/?q=zzzz").content.decode()


def test_the_index_leads_only_where_there_is_something(admin):
    for path in re.findall(r'class="link" href="([^"]+)"', admin.get("/settings/").content.decode()):
        assert admin.get(path).status_code == 200, path


# ------------------------------------------------------------------------------------------ accounts
def test_a_second_factor_is_demanded_on_a_page(admin):
    assert admin.post("/settings/accounts/", {"second_factor_of": ["lead"]}).status_code == 302
    assert DeskSettings.objects.get().second_factor_of == ["lead"]
    page = admin.post("/settings/accounts/", {"second_factor_of": ["administrator"]})
    assert "Set up your own first" in page.content.decode()


# ---------------------------------------------------------------------------------------- first hour
def test_the_checklist_goes_on_as_things_are_done_and_ends_with_a_ticket(admin, administrator, settings, monkeypatch):
    sent = []
    monkeypatch.setattr(smtplib, "SMTP", lambda *where, **more: Server(sent))
    settings.EMAIL_URL, settings.SMTP_PORT = "file:///x", 2525
    page = admin.get("/home/").content.decode()
    assert "Your first hour" in page
    assert "0 of 6" in page
    admin.post("/settings/tiers/1/", tier_data())
    admin.post("/settings/people/invite/", new())
    assert "2 of 6" in admin.get("/home/").content.decode()
    box = Mailbox.objects.get(name="tech")
    assert admin.post("/settings/first-hour/test-mail/", {"mailbox": box.pk}).status_code == 302
    assert "waiting for it to come in" in admin.get("/home/").content.decode()
    (message,) = sent
    number = incoming.apply(incoming.store(message.as_bytes(), mailbox=box).pk).ticket
    assert f"became ticket {number}" in admin.get("/home/").content.decode()
    admin.post("/settings/first-hour/close/")
    assert "Your first hour" not in admin.get("/home/").content.decode()
    admin.post("/settings/first-hour/close/", {"again": "yes"})
    assert "Your first hour" in admin.get("/home/").content.decode()


class Server:
    """Takes what it is sent; the real listener is tried in the browser tests."""

    def __init__(self, sent):
        self.sent = sent

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def send_message(self, message):
        self.sent.append(message)


def test_a_test_mail_that_cannot_leave_says_so(admin, settings):
    box = Mailbox.objects.first()
    settings.EMAIL_URL, settings.SMTP_PORT = "file:///x", 0
    page = admin.post("/settings/first-hour/test-mail/", {"mailbox": box.pk})
    assert "Mail neither leaves" in page.content.decode()
    settings.SMTP_PORT = 9  # nobody listens
    page = admin.post("/settings/first-hour/test-mail/", {"mailbox": box.pk})
    assert "could not be sent" in page.content.decode()
    assert admin.post("/settings/first-hour/test-mail/", {"mailbox": "x"}).status_code == 404


def test_others_than_administrators_see_no_checklist(client, tier1):
    client.force_login(tier1)
    assert b"Your first hour" not in client.get("/home/").content
