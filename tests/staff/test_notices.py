"""Being told: in the desk, in the browser, by mail; once, as each wants it, and never when it must be quiet."""

import smtplib
from datetime import UTC, datetime, time, timedelta

import pytest
import time_machine
from django.core import mail
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from staff import actions, notices
from staff.models import Mailing, Mute, NoticeChoice, Notification, User
from supportdesk import outbox
from supportdesk.errors import Invalid, NotFound
from tests.factories import UserFactory, agent, ticket
from tickets import actions as desk

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)  # a Wednesday


def tell(user, kind="note", key="k", url="/tickets/7/#m1"):
    return actions.notify([Notification(user=user, kind=kind, text="Look", reason="Because", url=url, key=key)])


def choose(user, kind, *, centre=True, popup=False, mail=Mailing.NEVER):
    NoticeChoice.objects.create(user=user, kind=kind, centre=centre, popup=popup, mail=mail)


def ticket_of(user):
    made = ticket(1)
    desk.take(number=made.number, by=user)
    made.refresh_from_db()
    return made


def person(**fields):
    fields = {"time_zone": "Europe/Berlin"} | fields
    return User(**fields)


@pytest.mark.parametrize(
    ("now", "loud"),
    [
        ("2026-03-04 21:59", "2026-03-04 21:59"),
        ("2026-03-04 22:00", "2026-03-05 07:00"),
        ("2026-03-05 06:59", "2026-03-05 07:00"),
        ("2026-03-05 07:00", "2026-03-05 07:00"),
        ("2026-03-06 23:00", "2026-03-09 07:00"),  # Friday night, then a weekend, then Sunday's night
        ("2026-03-28 12:00", "2026-03-30 07:00"),  # over the change of clocks
    ],
)
def test_quiet_goes_over_midnight_weekends_and_changes_of_clocks(now, loud):
    user = person(quiet_from=time(22), quiet_until=time(7), quiet_weekends=True)
    zone = __import__("zoneinfo").ZoneInfo("Europe/Berlin")
    at = datetime.fromisoformat(now).replace(tzinfo=zone).astimezone(UTC)
    assert notices.next_loud(user, at).astimezone(zone) == datetime.fromisoformat(loud).replace(tzinfo=zone)


@given(
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    begin=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    end=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    weekends=st.booleans(),
)
def test_what_comes_out_is_never_quiet_and_never_before(at, begin, end, weekends):
    user = person(quiet_from=begin, quiet_until=end, quiet_weekends=weekends)
    loud = notices.next_loud(user, at)
    assert at <= loud <= at + timedelta(days=5)
    assert notices.next_loud(user, loud) == loud


def test_each_kind_comes_as_its_reader_wants_it(db):
    user = UserFactory()
    choose(user, "note", centre=False)
    choose(user, "run", centre=False, mail=Mailing.DIGEST)
    choose(user, "mention", popup=True, mail=Mailing.AT_ONCE)
    with time_machine.travel(NOW, tick=False):
        assert tell(user, "note", "1") == 0
        tell(user, "run", "2")
        tell(user, "mention", "3")
    run, mention = Notification.objects.filter(user=user).order_by("id")
    assert (run.read_at, run.popup, run.mail_at) == (NOW, False, NOW.replace(day=5, hour=8))
    assert (mention.read_at, mention.popup, mention.mail_at) == (None, True, NOW)


def test_quiet_hours_hold_pop_ups_and_mail_but_not_the_desk(db):
    user = UserFactory(quiet_from=time(9), quiet_until=time(12))
    choose(user, "note", popup=True, mail=Mailing.AT_ONCE)
    with time_machine.travel(NOW, tick=False):
        tell(user)
    row = Notification.objects.get(user=user)
    assert (row.read_at, row.popup, row.mail_at) == (None, False, NOW.replace(hour=12))


def test_what_is_due_is_one_mail_and_leaves_out_what_was_read(db):
    user = UserFactory()
    choose(user, "note", mail=Mailing.DIGEST)
    with time_machine.travel(NOW, tick=False):
        for number in range(3):
            tell(user, key=str(number), url=f"/tickets/{number}/")
        actions.mark_about_read(by=user, about="/tickets/1/")
    assert outbox.OutboxItem.objects.filter(handler="staff.mail_notices").count() == 1
    with time_machine.travel(NOW.replace(hour=23), tick=False):
        assert outbox.sweep() == 0
    with time_machine.travel(NOW.replace(day=5, hour=8, minute=1), tick=False):
        assert outbox.sweep() == 1
        actions.mail_notices(user.pk)
    (sent,) = mail.outbox
    assert sent.subject == "2 notifications"
    assert sent.to == [user.email]
    assert sent.body.count("Because") == 2
    assert sent.extra_headers["Auto-Submitted"] == "auto-generated"


def test_a_mail_about_one_thing_has_its_mute_and_the_link_needs_no_sign_in(db):
    user = UserFactory()
    choose(user, "note", mail=Mailing.AT_ONCE)
    tell(user)
    actions.mail_notices(user.pk)
    line = next(line for line in mail.outbox[0].body.splitlines() if line.startswith("Hear no more about ticket 7"))
    path = "/" + line.split("://")[1].split("/", 1)[1]
    page = Client()
    assert b"Mute ticket 7?" in page.get(path).content
    assert not Mute.objects.exists()
    assert b"Muted" in page.post(path).content
    assert Mute.objects.get().about == "/tickets/7/"
    assert tell(user, key="other") == 0
    assert page.get(path[:-3] + "xx/").status_code == 404


def test_a_mute_hides_all_but_what_is_meant_for_one_alone(db, client):
    user = agent(1)
    client.force_login(user)
    tell(user, "reply", "1")
    assert b"Mute ticket 7" in client.get("/notifications/").content
    client.post("/notifications/mute/", {"about": "/tickets/7/"})
    assert not Notification.objects.filter(user=user, read_at=None).exists()
    assert tell(user, "reply", "2") == 0
    assert tell(user, "mention", "3") == 1
    assert b"Unmute ticket 7" in client.get("/notifications/settings/").content
    client.post("/notifications/mute/", {"about": "/tickets/7/", "again": "yes"})
    assert tell(user, "reply", "4") == 1


def test_the_mail_of_somebody_who_is_gone_is_let_go(db):
    user = UserFactory()
    choose(user, "note", mail=Mailing.AT_ONCE)
    tell(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    actions.mail_notices(user.pk)
    assert mail.outbox == []
    assert Notification.objects.get().mail_at is None
    assert tell(user, key="later") == 0


def test_a_mail_server_that_is_away_loses_nothing(db, monkeypatch):
    user = UserFactory()
    choose(user, "note", mail=Mailing.AT_ONCE)
    tell(user)

    def away(*args, **kwargs):
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.EmailMessage.send", away)
        assert outbox.sweep() == 0
    assert Notification.objects.get().mail_at is not None
    outbox.OutboxItem.objects.update(next_attempt_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert outbox.sweep() == 1
    assert len(mail.outbox) == 1


def test_a_moment_that_was_missed_is_caught_up(db):
    user = UserFactory()
    choose(user, "note", mail=Mailing.DIGEST)
    tell(user)
    outbox.OutboxItem.objects.update(done_at=NOW)  # delivered before its transaction had ended
    Notification.objects.update(mail_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert actions.sweep_notices() == 1
    assert outbox.sweep() == 1
    assert len(mail.outbox) == 1
    assert actions.sweep_notices() == 0


def test_an_address_that_no_server_takes_is_given_up(db, monkeypatch):
    user = UserFactory()
    choose(user, "note", mail=Mailing.AT_ONCE)
    tell(user)

    def refuse(*args, **kwargs):
        raise smtplib.SMTPRecipientsRefused({user.email: (550, b"gone")})

    monkeypatch.setattr("django.core.mail.EmailMessage.send", refuse)
    outbox.sweep()
    assert outbox.OutboxItem.objects.get().gave_up_at is not None
    assert Notification.objects.get().mail_at is None


def test_a_mute_stops_mail_that_waits_and_what_requesters_wrote(db):
    user = agent(1, mails_wanted=True)
    choose(user, "note", mail=Mailing.DIGEST)
    made = ticket_of(user)
    desk.note(number=made.number, by=agent(1), text="Look.")
    actions.mute(by=user, about=f"/tickets/{made.number}/")
    assert not Notification.objects.exclude(mail_at=None).exists()
    desk.receive(ticket_id=made.pk, requester=made.requester, text="Hello?")
    assert not outbox.OutboxItem.objects.filter(handler="tickets.send_letter").exists()


def test_who_wants_pop_ups_only_gets_them(db, client):
    user = agent(1)
    choose(user, "note", centre=False, popup=True)
    client.force_login(user)
    tell(user)
    found = client.get("/notifications/fresh/?after=0").json()
    assert (found["unread"], len(found["popups"])) == ("", 1)


# ---------------------------------------------------------------------------------------------- pages
def test_the_centre_opens_reads_and_narrows(db, client):
    user, other = agent(1), agent(1)
    client.force_login(user)
    tell(user, "reply", "1")
    tell(user, "run", "2", url="/runs/9/")
    row = Notification.objects.get(key="1")
    assert client.get("/notifications/fresh/?after=0").json()["unread"] == "2"
    assert client.get(f"/notifications/{row.pk}/")["Location"] == "/tickets/7/#m1"
    assert client.get("/notifications/fresh/?after=0").json()["unread"] == "1"
    page = client.get("/notifications/?unread=1").content.decode()
    assert "/notifications/" + str(row.pk) not in page
    assert client.get("/notifications/?kind=reply").content.decode().count("Mute ticket 7") > 0
    assert b"Nothing of this kind" in client.get("/notifications/?kind=mention").content
    panel = client.get("/notifications/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in panel
    assert "Mark all as read" in panel
    answer = client.post("/notifications/read/", {}, headers={"HX-Request": "true"}).content.decode()
    assert 'id="bell-count"' in answer
    with pytest.raises(NotFound):
        actions.open_notice(by=other, pk=row.pk)


def test_only_the_new_that_pops_up_pops_up(db, client):
    user = agent(1)
    client.force_login(user)
    tell(user, "mention", "1")
    first = Notification.objects.get()
    tell(user, "note", "2")
    tell(user, "mention", "3")
    told = client.get(f"/notifications/fresh/?after={first.pk}").json()
    assert [one["reason"] for one in told["popups"]] == ["Because"]
    assert client.get("/notifications/fresh/").json()["popups"] == []


def test_settings_keep_what_differs_and_refuse_half_a_quiet(db, client):
    user = agent(1)
    client.force_login(user)
    page = client.get("/notifications/settings/")
    data = {name: page.context["form"][name].value() for name in page.context["form"].fields}
    data = {name: value for name, value in data.items() if value not in {None, False}}
    client.post("/notifications/settings/", data)
    assert not NoticeChoice.objects.exists()
    data |= {"mail:reply": "at_once", "mail:run": "digest", "quiet_from": "22:00", "quiet_until": "07:00"}
    del data["centre:note"]
    assert client.post("/notifications/settings/", data).status_code == 302
    user.refresh_from_db()
    assert (user.mails_wanted, user.quiet_from) == (True, time(22))
    assert set(NoticeChoice.objects.values_list("kind", "centre", "mail")) == {
        ("run", True, "digest"), ("note", False, "never"),
    }  # fmt: skip
    answer = client.post("/notifications/settings/", data | {"quiet_until": ""})
    assert answer.status_code == 422
    assert b"Write both times of quiet" in answer.content
    answer = client.post("/notifications/settings/", data | {"mail:run": "often"})
    assert answer.status_code == 422


def test_a_test_comes_and_nothing_strange_is_muted(db, client):
    user = agent(1)
    client.force_login(user)
    client.post("/notifications/test/")
    assert Notification.objects.get(user=user).kind == "test"
    with pytest.raises(Invalid):
        actions.mute(by=user, about="javascript:x")
    answer = client.post("/notifications/mute/", {"about": "/x/", "next": "https://evil.example/"})
    assert answer["Location"] == "/notifications/"


def test_the_list_costs_the_same_for_many(db, client, django_assert_num_queries):
    user = agent(1)
    client.force_login(user)
    for number in range(3):
        tell(user, key=str(number))
    client.get("/notifications/")
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as few:
        client.get("/notifications/")
    for number in range(3, 49):
        tell(user, key=str(number), url=f"/tickets/{number}/")
    with CaptureQueriesContext(connection) as many:
        client.get("/notifications/")
    assert len(few) == len(many)


# -------------------------------------------------------------------------------------------- tickets
def test_assignee_and_watchers_are_told_with_their_reason(db):
    mine, watching, by = agent(1), agent(1), agent(1)
    made = ticket_of(mine)
    desk.watch(number=made.number, by=watching)
    desk.note(number=made.number, by=by, text=f"Look, @{watching.email}")
    told = {row.user_id: (row.kind, row.reason) for row in Notification.objects.all()}
    assert told == {
        mine.pk: ("note", "Because it is assigned to you"),
        watching.pk: ("mention", "Because you were named with @"),
    }
    desk.receive(ticket_id=made.pk, requester=made.requester, text="It is still broken.")
    assert set(Notification.objects.filter(kind="reply").values_list("user", "reason")) == {
        (mine.pk, "Because it is assigned to you"), (watching.pk, "Because you watch it"),
    }  # fmt: skip


def test_who_is_given_a_ticket_is_told_and_who_takes_one_is_not(db):
    one, other = agent(1), agent(1)
    made = ticket(1)
    desk.take(number=made.number, by=one)
    desk.assign(number=made.number, by=one, to=other)
    (row,) = Notification.objects.all()
    assert (row.user, row.kind) == (other, "assigned")
    assert str(one) in row.text


def test_looking_at_a_ticket_reads_what_was_told_of_it(db, client):
    user = agent(1)
    made = ticket_of(user)
    desk.receive(ticket_id=made.pk, requester=made.requester, text="Hello?")
    client.force_login(user)
    client.post(f"/tickets/{made.number}/presence/", {"writes": "no"})
    assert not Notification.objects.filter(read_at=None).exists()


def test_what_a_requester_wrote_waits_for_the_end_of_quiet_hours_by_mail_too(db):
    user = agent(1, mails_wanted=True, quiet_from=time(9), quiet_until=time(12))
    made = ticket_of(user)
    with time_machine.travel(NOW, tick=False):
        desk.receive(ticket_id=made.pk, requester=made.requester, text="Hello?")
    item = outbox.OutboxItem.objects.get(handler="tickets.send_letter")
    assert item.next_attempt_at == NOW.replace(hour=12)
