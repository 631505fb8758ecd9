"""The composer: drafts, files, taking back, sending later, macros, naming people."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from staff.models import Notification
from supportdesk import outbox
from supportdesk.errors import Conflict, Invalid, NotFound, NotPermitted
from supportdesk.models import OutboxItem
from tests.factories import UserFactory, agent, lead, ticket
from tickets import actions
from tickets.actions import drafts, erasure, macros
from tickets.models import Attachment, Draft, DraftFile, Macro, Message, OutboundEmail, Requester, Status, Ticket
from tickets.queries import writing
from tickets.recipe import Recipe, read

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture
def slow(db):
    """An agent whose replies wait ten seconds."""
    return agent(1, undo_seconds=10)


def due(moment=None):
    """Deliver what waits to be sent, as if its moment had come."""
    Draft.objects.filter(state="sending").update(send_at=timezone.now())
    for item in OutboxItem.objects.filter(handler="tickets.send_draft", done_at=None):
        OutboxItem.objects.filter(pk=item.pk).update(next_attempt_at=timezone.now())
        outbox.deliver(item.pk)


def upload(name="a.txt", content=b"x"):
    return SimpleUploadedFile(name, content, "text/plain")


# ------------------------------------------------------------------------------------------- drafts
def test_a_draft_is_kept_and_an_empty_one_is_none(db):
    made, by = ticket(1), agent(1)
    drafts.keep(number=made.number, by=by, text="Half a thought", kind="reply")
    assert writing.writing_on(made, by).text == "Half a thought"
    assert writing.writing_on(made, agent(1)).text == ""
    drafts.keep(number=made.number, by=by, text=" ", kind="reply")
    assert not Draft.objects.exists()


def test_a_draft_written_on_elsewhere_is_not_overwritten(db):
    made, by = ticket(1), agent(1)
    first = drafts.keep(number=made.number, by=by, text="One", kind="reply")
    drafts.keep(number=made.number, by=by, text="One and two", kind="reply", base=first.updated_at)
    with pytest.raises(Conflict, match="elsewhere"):
        drafts.keep(number=made.number, by=by, text="One, other", kind="reply", base=first.updated_at)
    assert Draft.objects.get().text == "One and two"


def test_who_began_with_nothing_does_not_write_over_a_draft_of_another_window(db):
    made, by = ticket(1), agent(1)
    drafts.keep(number=made.number, by=by, text="A long text", kind="reply", base=drafts.NOTHING)
    for act in (drafts.keep, drafts.send):
        with pytest.raises(Conflict, match="elsewhere"):
            act(number=made.number, by=by, text="A", kind="reply", base=drafts.NOTHING)
    assert Draft.objects.get().text == "A long text"


def test_what_another_window_sent_is_not_sent_twice(slow):
    made = ticket(1)
    base = drafts.keep(number=made.number, by=slow, text="Once", kind="reply", base=drafts.NOTHING).updated_at
    drafts.send(number=made.number, by=slow, text="Once", base=base)
    for act in (drafts.keep, drafts.send):
        with pytest.raises(Conflict, match="another window"):
            act(number=made.number, by=slow, text="Once", kind="reply", base=base)
    assert Draft.objects.get().state == "sending"


def test_a_file_is_no_other_version_of_the_text(db):
    made, by = ticket(1), agent(1)
    base = drafts.keep(number=made.number, by=by, text="Part one.", kind="reply").updated_at
    drafts.attach(number=made.number, by=by, files=[upload()])
    drafts.keep(number=made.number, by=by, text="Part one. Part two.", kind="reply", base=base)
    assert Draft.objects.get().text == "Part one. Part two."


def test_a_note_never_gets_into_a_reply_that_is_taken_back(slow):
    made = ticket(1)
    waits = drafts.send(number=made.number, by=slow, text="Public words", minutes=5)
    drafts.keep(number=made.number, by=slow, text="The root password is x", kind="note")
    held = drafts.take_back(number=made.number, by=slow, draft_id=waits.pk)
    assert (held.state, held.text) == ("held", "Public words")
    assert Draft.objects.get(state="draft").text == "The root password is x"
    due()
    assert not Message.objects.filter(author=slow).exists()
    drafts.discard(number=made.number, by=slow)
    drafts.keep(number=made.number, by=slow, text="And more", kind="reply", minutes=2)
    back = drafts.take_back(number=made.number, by=slow, draft_id=waits.pk)
    assert (back.state, back.text, back.minutes) == ("draft", "Public words\n\nAnd more", 7)


def test_a_text_that_is_too_long_is_refused_and_not_cut(db):
    made, by = ticket(1), agent(1)
    for act in (drafts.keep, drafts.send):
        with pytest.raises(Invalid, match="200,000"):
            act(number=made.number, by=by, text="x" * 200_001, kind="note")


def test_send_obeys_the_time_that_was_chosen(client, slow):
    made = ticket(1)
    client.force_login(slow, backend=BACKEND)
    at = (timezone.localtime() + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    client.post(f"/tickets/{made.number}/say/", {"text": "Later", "kind": "reply", "send_at": at})
    assert Draft.objects.get().scheduled


@pytest.mark.parametrize("base", ["2026-13-45", "x", "2026-01-01T00:00:00+99:99"])
def test_a_moment_that_is_none_is_refused(client, db, base):
    made = ticket(1)
    client.force_login(agent(1), backend=BACKEND)
    assert client.post(f"/tickets/{made.number}/draft/", {"text": "x", "base": base}).status_code == 400
    assert client.post(f"/tickets/{made.number}/draft/", {"text": "x", "base": "2026-01-01"}).status_code in {200, 409}


def test_nobody_keeps_drafts_where_they_may_not_write(db):
    made = ticket(1)
    with pytest.raises(NotPermitted):
        drafts.keep(number=made.number, by=UserFactory(role="auditor"), text="x", kind="note")
    Ticket.objects.update(restricted=True)
    with pytest.raises(NotFound):
        drafts.keep(number=made.number, by=agent(1), text="x", kind="note")


def test_files_go_along_and_limits_hold(db, settings):
    made, by = ticket(1), agent(1)
    settings.MAX_FILES = 2
    for name in ("a.txt", "../../b.txt"):
        drafts.attach(number=made.number, by=by, files=[upload(name)])
    with pytest.raises(Invalid, match="2 files at most"):
        drafts.attach(number=made.number, by=by, files=[upload("c.txt")])
    drafts.detach(number=made.number, by=by, file_id=DraftFile.objects.first().pk)
    with pytest.raises(NotFound):
        drafts.detach(number=made.number, by=agent(1), file_id=DraftFile.objects.first().pk)
    drafts.send(number=made.number, by=by, text="See the file.")
    assert [one.name for one in Attachment.objects.all()] == ["b.txt"]
    assert Attachment.objects.get().file.read() == b"x"
    assert not DraftFile.objects.exists()


# ------------------------------------------------------------------------------------- taking back
def test_a_reply_waits_can_be_taken_back_and_leaves_once(slow):
    made = ticket(1)
    waits = drafts.send(number=made.number, by=slow, text="Hello", then=Status.RESOLVED)
    made.refresh_from_db()
    assert (Message.objects.filter(kind="reply").count(), made.status, waits.state) == (0, "new", "sending")
    back = drafts.take_back(number=made.number, by=slow, draft_id=waits.pk)
    assert (back.state, back.text) == ("draft", "Hello")
    due()
    assert not Message.objects.filter(kind="reply").exists()
    drafts.send(number=made.number, by=slow, text="Hello!", then=Status.RESOLVED)
    due()
    due()
    made.refresh_from_db()
    assert [one.text for one in Message.objects.filter(kind="reply")] == ["Hello!"]
    assert (made.status, Draft.objects.count(), OutboundEmail.objects.count()) == ("resolved", 0, 1)
    with pytest.raises(Conflict, match="too late"):
        drafts.take_back(number=made.number, by=slow, draft_id=waits.pk)


def test_it_does_not_leave_before_its_moment(slow):
    made = ticket(1)
    waits = drafts.send(number=made.number, by=slow, text="Hello")
    drafts.send_draft(waits.pk)
    assert Draft.objects.get().state == "sending"
    assert OutboxItem.objects.get(handler="tickets.send_draft").next_attempt_at == waits.send_at


def test_what_is_written_while_a_reply_waits_stays_below_it(slow):
    made = ticket(1)
    waits = drafts.send(number=made.number, by=slow, text="First")
    drafts.keep(number=made.number, by=slow, text="Second", kind="reply")
    drafts.attach(number=made.number, by=slow, files=[upload()])
    back = drafts.take_back(number=made.number, by=slow, draft_id=waits.pk)
    assert (back.text, back.files.count(), Draft.objects.count()) == ("First\n\nSecond", 1, 1)


def test_only_who_wrote_it_takes_it_back_or_throws_it_away(slow):
    made, other = ticket(1), agent(1)
    waits = drafts.send(number=made.number, by=slow, text="Hello")
    for act in (drafts.take_back, drafts.send_now):
        with pytest.raises(NotFound):
            act(number=made.number, by=other, draft_id=waits.pk)
    with pytest.raises(NotFound):
        drafts.discard(number=made.number, by=other, draft_id=waits.pk)
    drafts.discard(number=made.number, by=slow, draft_id=waits.pk)
    due()
    assert not Message.objects.filter(kind="reply").exists()


def test_what_may_not_leave_any_more_is_held_back_and_said(slow):
    made = ticket(1)
    drafts.send(number=made.number, by=slow, text="Hello")
    slow.memberships.all().delete()
    due()
    held = Draft.objects.get()
    assert (held.state, bool(held.problem)) == ("held", True)
    assert Notification.objects.get(kind="reply.held").user == slow
    assert not Message.objects.filter(kind="reply").exists()


def test_a_reply_for_later_is_held_when_the_requester_writes_meanwhile(db):
    made, by = ticket(1), agent(1)
    drafts.send(number=made.number, by=by, text="We look at it tomorrow.", at=timezone.now() + timedelta(hours=9))
    actions.receive(ticket_id=made.pk, requester=made.requester, text="It works again.")
    due()
    held = Draft.objects.get()
    assert "wrote while you were writing" in held.problem
    drafts.send_now(number=made.number, by=by, draft_id=held.pk)
    assert Message.objects.filter(kind="reply").exists()


@pytest.mark.parametrize("hours", [-1, 24 * 400])
def test_a_moment_that_makes_no_sense_is_refused(db, hours):
    with pytest.raises(Invalid, match="within a year"):
        drafts.send(number=ticket(1).number, by=agent(1), text="x", at=timezone.now() + timedelta(hours=hours))


def test_what_the_requester_wrote_meanwhile_is_shown_before_it_is_sent(db):
    made, by = ticket(1), agent(1)
    seen = made.messages.get().pk
    _, meanwhile = actions.receive(ticket_id=made.pk, requester=made.requester, text="Wait!")
    with pytest.raises(drafts.Unseen) as refused:
        drafts.send(number=made.number, by=by, text="Done", seen=seen)
    assert refused.value.message == meanwhile
    drafts.send(number=made.number, by=by, text="Done", seen=meanwhile.pk)
    drafts.send(number=made.number, by=by, text="A note", kind="note", seen=seen)


# ------------------------------------------------------------------------------------------- macros
def test_a_macro_has_words_for_the_ticket_and_changes_that_go_along(db):
    made, by = ticket(1), agent(1)
    kept = macros.save_macro(
        by=by, name="Slow", text="Hello {{requester}}, about {{number}}.", recipe=read({"priority": "high", "add_tags": ["slow"]})
    )  # fmt: skip
    (option,) = writing.macro_options(made, by)
    assert (option.text, option.does) == (f"Hello Sofia Marin, about {made.number}.", "priority high; add #slow")
    drafts.send(number=made.number, by=by, text=option.text, macros=[kept.pk], minutes=5)
    made.refresh_from_db()
    assert (made.priority, made.tags, Message.objects.get(kind="reply").minutes) == ("high", ["slow"], 5)
    assert Macro.objects.get().used == 1


def test_a_macro_that_says_nothing_acts_now_and_one_with_words_never(db):
    made, by = ticket(1), agent(1)
    quiet = macros.save_macro(by=by, name="Urgent", text="", recipe=read({"priority": "urgent"}))
    assert macros.apply_macro(number=made.number, by=by, pk=quiet.pk) == ["changed the priority from Normal to Urgent"]
    loud = macros.save_macro(by=by, name="Bye", text="Bye", recipe=read({"status": "resolved"}))
    with pytest.raises(Invalid, match="read it, and send it"):
        macros.apply_macro(number=made.number, by=by, pk=loud.pk)
    assert not Message.objects.filter(kind="reply").exists()


def test_macros_of_others_are_theirs(db):
    made, by, boss = ticket(1), agent(1), lead(1)
    mine = macros.save_macro(by=by, name="Mine", text="x", recipe=Recipe())
    alls = macros.save_macro(by=boss, name="All", text="y", recipe=Recipe(), for_all=True)
    other = agent(1)
    assert [option.macro for option in writing.macro_options(made, other)] == [alls]
    with pytest.raises(NotFound):
        macros.delete_macro(by=other, pk=mine.pk)
    with pytest.raises(NotPermitted):
        macros.save_macro(by=other, pk=alls.pk, name="All", text="z", recipe=Recipe())
    with pytest.raises(NotPermitted):
        macros.save_macro(by=other, name="For all", text="z", recipe=Recipe(), for_all=True)
    with pytest.raises(Invalid, match="gone"):
        drafts.send(number=made.number, by=other, text="x", macros=[mine.pk])


@pytest.mark.parametrize("values", [{"name": ""}, {"text": "", "recipe": Recipe()}, {"text": "{{nonsense}}"}, {"recipe": read({"note": "x"})}, {"name": "There"}])  # fmt: skip
def test_a_macro_that_makes_no_sense_is_refused(db, values):
    by = agent(1)
    macros.save_macro(by=by, name="There", text="x", recipe=Recipe())
    with pytest.raises(Invalid):
        macros.save_macro(by=by, **{"name": "New", "text": "x", "recipe": Recipe()} | values)


def test_who_may_not_make_a_change_sends_nothing_with_it(db):
    made, by = ticket(1), agent(1)
    kept = macros.save_macro(by=by, name="Away", text="x", recipe=read({"assignee": "nobody@desk.example"}))
    with pytest.raises(Invalid):
        drafts.send(number=made.number, by=by, text="Hello", macros=[kept.pk])
    assert not Message.objects.filter(kind="reply").exists()


# ---------------------------------------------------------------------------------------- mentions
def test_who_is_named_in_a_note_is_told_once_and_only_who_sees_the_ticket(db):
    made, by = ticket(1), agent(1)
    amina, outsider = agent(2, email="amina@desk.example"), UserFactory(email="kim@desk.example")
    actions.note(number=made.number, by=by, text="@amina @AMINA@desk.example, @kim and mail@amina: look, `@amina`")
    assert [(one.user, one.kind) for one in Notification.objects.all()] == [(amina, "mention")]
    assert outsider not in [one.user for one in Notification.objects.all()]
    actions.reply(number=made.number, by=by, text="@amina is on it")
    assert Notification.objects.count() == 1


def test_handles_are_offered_that_name_one_person(db):
    made = ticket(1)
    one, two = (
        agent(1, name="Amina D", email="amina@desk.example"),
        agent(1, name="Amina E", email="amina@other.example"),
    )
    handles = {person: handle for handle, person in writing.people_for(made)}
    assert (handles[one], handles[two]) == ("amina@desk.example", "amina@other.example")


# ------------------------------------------------------------------------------------------- pages
@pytest.fixture
def signed(client, db):
    by = agent(1)
    client.force_login(by, backend=BACKEND)
    client.by = by
    return client


def test_a_draft_is_on_the_page_of_another_browser(signed):
    made = ticket(1)
    answer = signed.post(f"/tickets/{made.number}/draft/", {"text": "Half", "kind": "note", "minutes": "3"})
    assert answer.status_code == 200
    page = signed.get(f"/tickets/{made.number}/").content.decode()
    assert ">Half</textarea>" in page
    assert 'value="note" checked' in page
    assert signed.post(f"/tickets/{made.number}/draft/", {"text": "x", "minutes": "many"}).status_code == 400
    older = "2026-01-01T00:00:00+00:00"
    assert signed.post(f"/tickets/{made.number}/draft/", {"text": "Other", "base": older}).status_code == 409
    assert signed.get(f"/tickets/{made.number}/draft/newest/").json()["text"] == "Half"


def test_sending_by_form_waits_and_offers_to_undo(signed):
    made = ticket(1)
    type(signed.by).objects.update(undo_seconds=10)
    answer = signed.post(f"/tickets/{made.number}/say/", {"text": "Hello", "kind": "reply"}, follow=True)
    page = answer.content.decode()
    assert "It is sent in 10 s." in page
    assert f"/pending/{Draft.objects.get().pk}/undo/" in page
    answer = signed.post(f"/tickets/{made.number}/pending/{Draft.objects.get().pk}/undo/", follow=True)
    assert ">Hello</textarea>" in answer.content.decode()


def test_send_and_next_goes_on_with_an_undo(signed):
    made, other = ticket(1), ticket(1)
    type(signed.by).objects.update(undo_seconds=10)
    sent = {"text": "Hello", "kind": "reply", "go": "next", "next": other.number}
    answer = signed.post(f"/tickets/{made.number}/say/", sent, follow=True)
    assert answer.redirect_chain[-1][0] == f"/tickets/{other.number}/"
    assert f'action="/tickets/{made.number}/pending/{Draft.objects.get().pk}/undo/"' in answer.content.decode()
    answer = signed.post(f"/tickets/{other.number}/say/", sent | {"next": ""}, headers={"HX-Request": "true"})
    assert answer["HX-Redirect"] == "/tickets/"


@pytest.mark.parametrize("htmx", [False, True])
def test_what_was_written_meanwhile_stands_above_the_text_and_sending_again_sends(signed, htmx):
    made = ticket(1)
    seen = made.messages.get().pk
    actions.receive(ticket_id=made.pk, requester=made.requester, text="Wait a moment!")
    headers = {"HX-Request": "true"} if htmx else {}
    answer = signed.post(f"/tickets/{made.number}/say/", {"text": "My long answer", "seen": seen}, headers=headers)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "Wait a moment!" in page
    newest = made.messages.order_by("-id").first().pk
    assert f'name="seen"{" id=" if htmx else " value="}' in page
    assert ("My long answer" in page) != htmx
    assert signed.post(f"/tickets/{made.number}/say/", {"text": "My long answer", "seen": newest}).status_code == 302


def test_files_go_up_one_by_one(signed):
    made = ticket(1)
    answer = signed.post(f"/tickets/{made.number}/draft/files/", {"files": upload("log <1>.txt")})
    assert "log" in answer.content.decode()
    kept = DraftFile.objects.get()
    assert signed.post(f"/tickets/{made.number}/draft/files/{kept.pk}/remove/").status_code == 200
    assert signed.post(f"/tickets/{made.number}/draft/files/", {}).status_code == 400


def test_macros_are_made_and_listed_on_their_page(signed):
    made = ticket(1)
    answer = signed.post(
        "/macros/new/", {"name": "Hi", "kind": "reply", "text": "Hi {{requester}}", "priority": "high"}
    )
    assert answer.status_code == 302, answer.content.decode()
    kept = Macro.objects.get()
    assert (kept.owner, kept.recipe) == (signed.by, {"priority": "high"})
    assert "Hi {{requester}}" in signed.get("/macros/").content.decode()
    assert "Hi Sofia Marin" in signed.get(f"/tickets/{made.number}/macros/").content.decode()
    assert signed.post(f"/macros/{kept.pk}/", {"name": "", "kind": "reply", "text": "x"}).status_code == 422
    assert signed.post(f"/macros/{kept.pk}/delete/").status_code == 302
    assert not Macro.objects.exists()


def test_a_preview_is_sanitised(signed):
    page = signed.post(
        "/tickets/preview/", {"text": "**Hi** <script>alert(1)</script> [x](javascript:1)"}
    ).content.decode()
    assert "<strong>Hi</strong>" in page
    assert "<script>" not in page
    assert 'href="javascript' not in page


def test_an_erasure_takes_drafts_too(db):
    made, boss = ticket(1), agent(3, role="administrator")
    drafts.keep(number=made.number, by=boss, text="About Sofia", kind="note")
    drafts.attach(number=made.number, by=boss, files=[upload()])
    erasure.erase_requester(requester_id=Requester.objects.get().pk, by=boss)
    assert not Draft.objects.exists()
