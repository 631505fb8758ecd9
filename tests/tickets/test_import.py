"""Tickets of other systems: every shape, again and again, and what is wrong in them."""

import base64
import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from supportdesk.outbox import OutboxItem
from tickets.models import Attachment, ImportedTicket, OutboundEmail, Priority, Status, Ticket

CSV = """\
id,subject,text,requester_email,requester_name,status,priority,tier,tags,created_at,resolved_at,assignee
1,Parcel lost,"Where, please,
is it?",sofia@nova.example,Sofia,pending,critical,2,"lost, vip",2024-03-01T09:00:00+01:00,,{assignee}
2,Old one,It broke.,Ben <ben@nova.example>,,closed,low,,,2024-01-01 10:00:00,2024-01-02T10:00:00Z,
"""
HELPDESK = [
    {"model": "helpdesk.queue", "pk": 3, "fields": {"title": "Second level", "slug": "second"}},
    {"model": "auth.user", "pk": 7, "fields": {"username": "jonas", "first_name": "Jonas", "last_name": "W", "email": "{agent}"}},
    {"model": "helpdesk.ticket", "pk": 41, "fields": {
        "title": "No mail", "queue": 3, "created": "2023-05-01T08:00:00Z", "modified": "2023-05-03T08:00:00Z",
        "submitter_email": "ben@nova.example", "assigned_to": 7, "status": 3, "on_hold": False, "description": "Mail is away.",
        "resolution": "Restarted it.", "priority": 2, "due_date": "2023-05-05T00:00:00Z"}},
    {"model": "helpdesk.ticket", "pk": 42, "fields": {
        "title": "Waits", "queue": 3, "created": "2023-05-01T08:00:00Z", "modified": None, "submitter_email": None,
        "status": 1, "on_hold": True, "description": "Later.", "priority": 3}},
    {"model": "helpdesk.followup", "pk": 1, "fields": {
        "ticket": 41, "date": "2023-05-02T08:00:00Z", "title": "Comment", "comment": "We look.", "public": True, "user": 7}},
    {"model": "helpdesk.followup", "pk": 2, "fields": {
        "ticket": 41, "date": "2023-05-01T09:00:00Z", "title": "Comment", "comment": "Disk full?", "public": False, "user": 7}},
    {"model": "helpdesk.followup", "pk": 3, "fields": {
        "ticket": 41, "date": "2023-05-02T09:00:00Z", "title": "E-Mail", "comment": "Thanks", "public": True, "user": None}},
    {"model": "helpdesk.ticketcc", "pk": 1, "fields": {"ticket": 41, "user": None, "email": "boss@nova.example"}},
]  # fmt: skip
ZAMMAD = {
    "tickets": [
        {"id": 5, "number": "22005", "title": "Printer", "group": "Users", "state": "pending reminder", "priority": "3 high",
         "customer": "nicole@nova.example", "owner": "-", "created_at": "2022-01-01T10:00:00.000Z", "updated_at": "2022-01-02T10:00:00Z",
         "tags": ["hardware"]},
        {"id": 6, "number": "22006", "title": "Done", "group_id": 1, "state_id": 4, "priority_id": 1, "customer_id": 9, "owner_id": 1,
         "created_at": "2022-01-01T10:00:00Z", "close_at": "2022-01-01T12:00:00Z",
         "articles": [{"id": 3, "body": "Hello", "content_type": "text/plain", "sender": "Customer", "internal": False, "type": "web",
                       "from": "Emily Adams", "created_at": "2022-01-01T10:00:00Z"}]},
    ],
    "articles": [
        {"id": 1, "ticket_id": 5, "body": "<p>It <b>prints</b> nothing<script>alert(1)</script></p>", "content_type": "text/html", "sender": "Customer",
         "internal": False, "type": "email", "from": "Nicole Braun <nicole@nova.example>", "created_at": "2022-01-01T10:00:00Z",
         "attachments": [{"id": 1, "filename": "log.txt", "data": base64.b64encode(b"log").decode(), "preferences": {"Content-Type": "text/plain"}}]},
        {"id": 2, "ticket_id": 5, "body": "Toner?", "content_type": "text/plain", "sender": "Agent", "internal": True, "type": "note",
         "from": "Chris Miller", "created_at": "2022-01-01T11:00:00Z"},
    ],
    "users": [{"id": 9, "login": "emily", "firstname": "Emily", "lastname": "Adams", "email": "emily@nova.example"}],
}  # fmt: skip


def take_over(path, shape, *more, fails=False):
    out = StringIO()
    arguments = ["import_tickets", str(path), "--from", shape, "--json", *more]
    if fails:
        with pytest.raises(SystemExit) as ended:
            call_command(*arguments, stdout=out)
        assert ended.value.code == 1
    else:
        call_command(*arguments, stdout=out)
    return json.loads(out.getvalue())


def kinds(ticket):
    return list(ticket.messages.order_by("id").values_list("kind", flat=True))


def test_csv_with_everything(tmp_path, tier2):
    path = tmp_path / "tickets.csv"
    path.write_text(CSV.format(assignee=tier2.email))
    assert take_over(path, "csv", "--dry-run") == {"made": 2, "known": 0, "wrong": []}
    assert not Ticket.objects.exists()
    assert take_over(path, "csv") == {"made": 2, "known": 0, "wrong": []}
    assert take_over(path, "csv") == {"made": 0, "known": 2, "wrong": []}
    first, second = Ticket.objects.order_by("pk")
    assert (first.status, first.priority, first.tier.level, first.tags) == (
        Status.WAITING,
        Priority.URGENT,
        2,
        ["lost", "vip"],
    )
    assert (first.created_at, first.assignee) == (datetime(2024, 3, 1, 8, tzinfo=UTC), tier2)
    assert first.messages.get().text == "Where, please,\nis it?"
    assert (second.status, second.requester.name, second.closed_at.year) == (Status.CLOSED, "Ben", 2024)
    assert {timer.clock for timer in first.timers.all()} == {"first_response", "resolution"}
    assert not second.timers.exists()
    assert first.events.last().words == "took the ticket over from csv, where it was 1"


def test_nothing_leaves_and_no_rule_hears(tmp_path, tier2, administrator):
    from tickets import actions
    from tickets.recipe import read

    recipe = read({"reply": "Hello"})
    actions.save_rule(by=administrator, name="x", events=["opened"], recipe=recipe, active=True)
    path = tmp_path / "tickets.csv"
    path.write_text(CSV.format(assignee=""))
    take_over(path, "csv")
    assert not OutboundEmail.objects.exists()
    assert not OutboxItem.objects.exists()


def test_timed_rules_leave_imported_tickets_alone_until_somebody_touches_them(tmp_path, tier2, administrator):
    from tickets import actions
    from tickets.recipe import read

    actions.save_rule(
        by=administrator, name="x", since="created", after="1d", recipe=read({"reply": "Hello"}), active=True
    )
    path = tmp_path / "tickets.csv"
    path.write_text(CSV.format(assignee=""))
    take_over(path, "csv")
    assert actions.sweep_rules() == 0
    actions.note(number=Ticket.objects.first().number, by=tier2, text="I look at it")
    assert actions.sweep_rules() == 1


def test_a_dry_run_writes_no_file(tmp_path, db, settings):
    from pathlib import Path

    path = tmp_path / "zammad.json"
    path.write_text(json.dumps(ZAMMAD))
    assert take_over(path, "zammad", "--dry-run")["made"] == 2
    folder = Path(settings.STORAGES["default"]["OPTIONS"]["location"])
    assert not [file for file in folder.rglob("*") if file.is_file()]


def test_django_helpdesk_dumps(tmp_path, tier2):
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(HELPDESK).replace("{agent}", tier2.email))
    assert take_over(path, "django-helpdesk", "--group", "second level=2")["made"] == 2
    first, second = Ticket.objects.order_by("pk")
    assert kinds(first) == ["requester", "note", "reply", "requester", "note"]
    texts = list(first.messages.order_by("id").values_list("text", flat=True))
    assert texts == ["Mail is away.", "Disk full?", "We look.", "Thanks", "Resolution: Restarted it."]
    assert (first.status, first.priority, first.tier.level, first.assignee) == (
        Status.RESOLVED,
        Priority.HIGH,
        2,
        tier2,
    )
    assert (first.cc, first.deadline_at.day) == (["boss@nova.example"], 5)
    assert first.messages.filter(kind="reply").get().author == tier2
    assert (second.status, second.requester.email) == (Status.ON_HOLD, "unknown@invalid")


def test_django_helpdesk_rest_answers(tmp_path, db):
    path = tmp_path / "api.json"
    row = {
        "id": 9, "queue": 1, "title": "From REST", "description": "Hi", "submitter_email": "a@b.example", "status": 4, "priority": 5,
        "created": "2023-01-01T00:00:00Z", "modified": "2023-01-02T00:00:00Z", "followup_set": [], "assigned_to": None,
    }  # fmt: skip
    path.write_text(json.dumps({"count": 1, "results": [row]}))
    assert take_over(path, "django-helpdesk")["made"] == 1
    assert Ticket.objects.get().status == Status.CLOSED


def test_zammad_with_articles_files_and_users(tmp_path, db):
    path = tmp_path / "zammad.json"
    path.write_text(json.dumps(ZAMMAD))
    assert take_over(path, "zammad", "--group", "Users=3") == {"made": 2, "known": 0, "wrong": []}
    first, second = Ticket.objects.order_by("pk")
    assert (first.tier.level, first.status, first.priority, first.tags) == (
        3,
        Status.ON_HOLD,
        Priority.HIGH,
        ["hardware"],
    )
    assert kinds(first) == ["requester", "note"]
    said = first.messages.order_by("id").first()
    assert said.text == "It prints nothing"
    assert "script" not in said.html
    assert "<b>prints</b>" in said.html
    assert "Chris Miller wrote this" in first.messages.get(kind="note").text
    assert Attachment.objects.get().file.read() == b"log"
    assert (second.status, second.requester.email, second.requester.name) == (
        Status.CLOSED,
        "emily@nova.example",
        "Emily Adams",
    )
    assert second.resolved_at == datetime(2022, 1, 1, 12, tzinfo=UTC)


def test_a_document_a_line_and_two_systems_of_a_kind(tmp_path, db):
    path = tmp_path / "tickets.ndjson"
    path.write_text("\n".join(json.dumps(row | {"articles": row.get("articles", [])}) for row in ZAMMAD["tickets"]))
    assert take_over(path, "zammad")["made"] == 2
    assert take_over(path, "zammad", "--source", "zammad of the other office")["made"] == 2
    assert ImportedTicket.objects.count() == 4


def test_what_is_wrong_is_named_and_the_rest_comes_over(tmp_path, db):
    path = tmp_path / "tickets.csv"
    lines = [
        "id,subject,text,requester_email,created_at,status",
        "1,a,t,a@b.example,2024-01-01,open",
        "2,b,t,nobody,2024-01-01,open",
        "3,c,t,a@b.example,yesterday,open",
        "4,d,t,a@b.example,2024-01-01,exploded",
        "5,e,t",
        "6,f,t,a@b.example,2024-01-01,open",
    ]
    path.write_text("\n".join(lines))
    report = take_over(path, "csv", fails=True)
    assert report["made"] == 2
    assert [row["where"] for row in report["wrong"]] == ["line 3", "line 4", "line 5", "line 6"]
    reasons = " ".join(row["reason"] for row in report["wrong"])
    for words in ("not an address", "not a time", "'exploded' is none of", "as many columns"):
        assert words in reasons


@pytest.mark.parametrize(
    ("content", "shape", "more", "words"),
    [
        ("subject\n1", "csv", (), "lacks text, requester_email, created_at"),
        ("subject,text,requester_email,created_at,colour\n", "csv", (), "has colour"),
        ("{", "zammad", (), "is not JSON"),
        ("[]", "zammad", ("--tier", "9"), "no tier 9"),
        ("[]", "zammad", ("--group", "Users"), "NAME=TIER"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path, db, content, shape, more, words):
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(CommandError, match=words) as refused:
        call_command("import_tickets", str(path), "--from", shape, *more)
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_tickets", str(tmp_path / "away"), "--from", shape)


def test_an_interrupted_import_goes_on_where_it_was(tmp_path, db, monkeypatch):
    from tickets.actions import imports

    path = tmp_path / "tickets.csv"
    rows = [f"{n},s{n},t,a@b.example,2024-01-01" for n in range(10)]
    path.write_text("\n".join(["id,subject,text,requester_email,created_at", *rows]))
    real, seen = imports._import, []

    def breaks(row, source, tier):
        seen.append(row)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return real(row, source, tier)

    monkeypatch.setattr(imports, "_import", breaks)
    with pytest.raises(KeyboardInterrupt):
        call_command("import_tickets", str(path), "--from", "csv")
    monkeypatch.undo()
    assert take_over(path, "csv") == {"made": 6, "known": 4, "wrong": []}
    assert Ticket.objects.count() == 10
