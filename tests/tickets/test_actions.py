import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supportdesk.errors import Conflict, Invalid, InvalidTransition, NotFound, NotPermitted
from supportdesk.models import OutboxItem
from tests.factories import agent, lead, ticket
from tickets import actions
from tickets.models import (
    TRANSITIONS,
    Category,
    MessageKind,
    OutboundEmail,
    Priority,
    Requester,
    Status,
    Ticket,
    TicketEvent,
)


def kinds(made):
    return list(made.events.values_list("kind", flat=True))


def test_opening_records_the_requester_the_message_and_the_event(db):
    made = ticket(2, subject="  Too   many\nconnections ", text="It hangs.")
    assert made.subject == "Too many connections"
    assert made.status == Status.NEW
    assert made.messages.get().kind == MessageKind.REQUESTER
    assert made.snippet == "It hangs."
    assert kinds(made) == ["opened"]


def test_a_person_must_write_subject_and_text(tier1):
    from staff.models import Tier

    with pytest.raises(Invalid) as error:
        actions.open_ticket(by=tier1, requester_email="a@b.example", subject=" ", text="", tier=Tier.objects.first())
    assert set(error.value.fields) == {"subject", "text"}


def test_taking_opens_a_new_ticket_and_grows_the_version(tier1):
    made = ticket(1)
    taken = actions.take(number=made.number, by=tier1, version=1)
    assert (taken.status, taken.assignee) == (Status.OPEN, tier1)
    assert taken.version > 1
    assert actions.take(number=made.number, by=tier1).version == taken.version


def test_a_stale_version_is_a_conflict_that_says_what_changed(tier1):
    made = ticket(1)
    other = agent(1, name="Omar Benali")
    actions.set_priority(number=made.number, by=other, priority=Priority.HIGH, version=1)
    with pytest.raises(Conflict) as error:
        actions.resolve(number=made.number, by=tier1, version=1)
    assert error.value.changes == ["Omar Benali changed the priority from Normal to High"]
    made.refresh_from_db()
    assert made.status == Status.NEW


def test_a_message_does_not_change_the_version(tier1):
    made = ticket(1)
    actions.take(number=made.number, by=tier1)
    before = Ticket.objects.get(pk=made.pk).version
    actions.note(number=made.number, by=tier1, text="A note.")
    actions.reply(number=made.number, by=tier1, text="A reply.")
    assert Ticket.objects.get(pk=made.pk).version == before


def test_a_reply_opens_a_new_ticket_and_puts_its_mail_into_the_outbox(tier1):
    made = ticket(1)
    message = actions.reply(number=made.number, by=tier1, text="Hello **Sofia**.")
    mail = OutboundEmail.objects.get(message=message)
    assert Ticket.objects.get(pk=made.pk).status == Status.OPEN
    assert mail.to == "sofia@shop.example"
    assert mail.rfc_id == message.rfc_id
    assert f"+t{made.number}." in mail.reply_to
    assert OutboxItem.objects.filter(handler="tickets.send_mail", object_id=mail.pk).count() == 1


def test_reply_and_resolve_is_one_act(tier1):
    made = ticket(1)
    actions.reply(number=made.number, by=tier1, text="Done.", then=Status.RESOLVED)
    made.refresh_from_db()
    assert (made.status, made.resolved_by) == (Status.RESOLVED, tier1)


def test_an_empty_reply_is_refused_and_changes_nothing(tier1):
    made = ticket(1)
    with pytest.raises(Invalid):
        actions.reply(number=made.number, by=tier1, text=" \n ")
    assert kinds(made) == ["opened"]


def test_escalating_needs_a_handover_and_removes_an_assignee_of_the_lower_tier(tier1):
    made = ticket(1)
    actions.take(number=made.number, by=tier1)
    with pytest.raises(Invalid):
        actions.escalate(number=made.number, by=tier1, handover="  ")
    moved = actions.escalate(number=made.number, by=tier1, handover="Cleared the cache, no change.")
    assert (moved.tier.level, moved.assignee) == (2, None)
    assert "Cleared the cache" in moved.messages.last().text
    assert moved.messages.last().kind == MessageKind.NOTE


def test_the_last_tier_cannot_escalate(tier3):
    with pytest.raises(Invalid):
        actions.escalate(number=ticket(3).number, by=tier3, handover="x")


def test_closing_needs_a_resolved_ticket(tier1):
    made = ticket(1)
    with pytest.raises(Invalid):
        actions.close(number=made.number, by=tier1)
    actions.resolve(number=made.number, by=tier1)
    assert actions.close(number=made.number, by=tier1).closed_at is not None


def test_reopening_forgets_who_resolved(tier1):
    made = ticket(1)
    actions.resolve(number=made.number, by=tier1)
    opened = actions.reopen(number=made.number, by=tier1)
    assert (opened.status, opened.resolved_at, opened.resolved_by) == (Status.OPEN, None, None)
    assert "reopened" in kinds(made)


def test_several_properties_change_as_one_or_not_at_all(tier1):
    made = ticket(1)
    actions.resolve(number=made.number, by=tier1)
    with pytest.raises(InvalidTransition):
        actions.update(number=made.number, by=tier1, priority=Priority.LOW, status=Status.WAITING)
    assert Ticket.objects.get(pk=made.pk).priority == Priority.NORMAL


@pytest.mark.parametrize("was", list(Status))
@pytest.mark.parametrize("to", list(Status))
def test_the_status_moves_as_the_table_says(was, to):
    made = Ticket(number=1, status=was)
    if to in TRANSITIONS[was]:
        made.move_to(to)
        assert made.status == to
    else:
        with pytest.raises(InvalidTransition):
            made.move_to(to)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(
        st.sampled_from(["take", "reply", "note", "wait", "hold", "resolve", "reopen", "close", "receive"]), max_size=8
    )
)
def test_any_history_keeps_the_constraints_and_tells_every_change(tier1, moves):
    with transaction.atomic():
        made = ticket(1)
        requester = Requester.objects.get(email="sofia@shop.example")
        acts = {
            "take": lambda: actions.take(number=made.number, by=tier1),
            "reply": lambda: actions.reply(number=made.number, by=tier1, text="r"),
            "note": lambda: actions.note(number=made.number, by=tier1, text="n"),
            "wait": lambda: actions.wait_on_requester(number=made.number, by=tier1),
            "hold": lambda: actions.hold(number=made.number, by=tier1),
            "resolve": lambda: actions.resolve(number=made.number, by=tier1),
            "reopen": lambda: actions.reopen(number=made.number, by=tier1),
            "close": lambda: actions.close(number=made.number, by=tier1),
            "receive": lambda: actions.receive(ticket_id=made.pk, requester=requester, text="w"),
        }
        for move in moves:
            before = Ticket.objects.get(pk=made.pk)
            try:
                acts[move]()
            except (InvalidTransition, Invalid):
                assert Ticket.objects.get(pk=made.pk).version == before.version
                continue
            after = Ticket.objects.get(pk=made.pk)
            assert (after.version > before.version) == (
                (after.status, after.assignee_id) != (before.status, before.assignee_id)
            )
            assert (after.status == Status.CLOSED) <= (after.closed_at is not None)
        assert made.events.count() >= 1
        transaction.set_rollback(True)


def test_a_requesters_message_opens_a_waiting_ticket_and_an_automatic_one_does_not(tier1):
    made = ticket(1)
    actions.take(number=made.number, by=tier1)
    actions.wait_on_requester(number=made.number, by=tier1)
    requester = made.requester
    actions.receive(ticket_id=made.pk, requester=requester, text="I am on holiday.", automatic=True)
    assert Ticket.objects.get(pk=made.pk).status == Status.WAITING
    actions.receive(ticket_id=made.pk, requester=requester, text="Here it is.")
    assert Ticket.objects.get(pk=made.pk).status == Status.OPEN


def test_writing_to_a_closed_ticket_opens_a_linked_follow_up(tier1):
    made = ticket(1)
    actions.resolve(number=made.number, by=tier1)
    actions.close(number=made.number, by=tier1)
    follow_up, _ = actions.receive(ticket_id=made.pk, requester=made.requester, text="Again!", subject="Again")
    assert follow_up.pk != made.pk
    assert follow_up.links.get().target == made
    assert Ticket.objects.get(pk=made.pk).status == Status.CLOSED


def test_a_restricted_ticket_looks_like_none_to_those_who_may_not_see_it(tier1):
    made = ticket(1)
    chief = lead(1)
    actions.set_restricted(number=made.number, by=chief, restricted=True)
    with pytest.raises(NotFound):
        actions.note(number=made.number, by=tier1, text="Hello?")
    actions.assign(number=made.number, by=chief, to=tier1)
    actions.note(number=made.number, by=tier1, text="Mine now.")


def test_an_agent_may_not_restrict(tier1):
    with pytest.raises(NotPermitted):
        actions.set_restricted(number=ticket(1).number, by=tier1, restricted=True)


def test_a_ticket_is_assigned_only_to_those_who_work_its_tier(tier1, tier2):
    made = ticket(2)
    with pytest.raises(NotPermitted):
        actions.assign(number=made.number, by=tier2, to=tier1)
    assert actions.assign(number=made.number, by=tier2, to=tier2).assignee == tier2


def test_events_are_append_only_in_the_database(db):
    made = ticket(1)
    with pytest.raises(IntegrityError), transaction.atomic():
        TicketEvent.objects.filter(ticket=made).update(kind="forged")


def test_a_resolved_ticket_without_a_time_is_refused_by_the_database(db):
    made = ticket(1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Ticket.objects.filter(pk=made.pk).update(status=Status.RESOLVED)


def test_the_category_is_recorded(tier1):
    made = ticket(1)
    actions.set_category(number=made.number, by=tier1, category=Category.objects.get(slug="database"))
    assert made.events.last().sentence == f"{tier1.name} changed the category from none to Database issues"


@pytest.mark.django_db(transaction=True)
def test_an_action_that_waited_for_an_escalation_gets_a_conflict_and_not_a_missing_ticket():
    import threading
    import time

    from django.db import connections

    from supportdesk import guide

    guide.load()
    made, first, second, results = ticket(1), agent(3), lead(1), []

    def wait_then_take():
        try:
            actions.take(number=made.number, by=second, version=1)
        except Exception as error:
            results.append(type(error))
        finally:
            connections.close_all()

    with transaction.atomic():
        actions.escalate(number=made.number, by=first, handover="Tried it all.")
        other = threading.Thread(target=wait_then_take)
        other.start()
        time.sleep(0.5)
    other.join()
    assert results == [Conflict]


@pytest.mark.django_db(transaction=True)
def test_two_agents_at_once_one_gets_a_conflict_and_no_write_is_lost():
    import threading

    from django.db import connections

    from supportdesk import guide

    guide.load()
    made, first, second = ticket(1), agent(1), agent(1)
    start, results = threading.Barrier(2), {}

    def act(name, call):
        start.wait()
        try:
            call()
            results[name] = "done"
        except Conflict as error:
            results[name] = error.changes
        finally:
            connections.close_all()

    threads = [
        threading.Thread(
            target=act,
            args=(
                "priority",
                lambda: actions.set_priority(number=made.number, by=first, priority=Priority.HIGH, version=1),
            ),
        ),
        threading.Thread(target=act, args=("take", lambda: actions.take(number=made.number, by=second, version=1))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [name for name, result in results.items() if result == "done"]
    assert len(winners) == 1
    assert all(results[name] for name in results if name not in winners)
    made.refresh_from_db()
    assert (made.priority == Priority.HIGH) == (winners == ["priority"])
    assert (made.assignee == second) == (winners == ["take"])


def test_take_next_gives_the_ticket_that_is_due_first_of_ones_own_tiers(tier2):
    ticket(2, priority=Priority.LOW)
    urgent = ticket(2, priority=Priority.URGENT)
    ticket(3, priority=Priority.URGENT)  # another tier's
    ticket(1, priority=Priority.URGENT)
    assert actions.take_next(by=tier2).number == urgent.number
    assert Ticket.objects.get(pk=urgent.pk).assignee == tier2
    actions.take_next(by=tier2)
    with pytest.raises(Invalid, match="Nothing waits"):
        actions.take_next(by=tier2)


def test_who_works_no_tier_takes_nothing(auditor, integration):
    ticket(1)
    for person in (auditor, integration):
        with pytest.raises(NotPermitted):
            actions.take_next(by=person)


@pytest.mark.django_db(transaction=True)
def test_two_people_never_take_the_same_ticket(db):
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    from supportdesk import guide

    guide.load()
    people = [agent(1) for _ in range(6)]
    for _ in range(12):
        ticket(1)

    def take(person) -> list[int]:
        try:
            return [actions.take_next(by=person).number for _ in range(2)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        numbers = [number for taken in pool.map(take, people) for number in taken]
    assert len(set(numbers)) == 12


def test_an_organisation_takes_in_the_requesters_of_its_domains(administrator, tier1):
    known = ticket(1, email="ann@acme.example")
    made = actions.save_organization(by=administrator, name="Acme", domains=["@ACME.example"])
    assert Requester.objects.get(email="ann@acme.example").organization == made
    assert ticket(1, email="bob@acme.example").requester.organization == made
    assert known.requester.email == "ann@acme.example"
    for arguments in (
        {"name": "acme 2", "domains": ["acme.example"]},
        {"name": "x", "domains": ["not a domain"]},
        {"name": " ", "domains": []},
    ):
        with pytest.raises(Invalid):
            actions.save_organization(by=administrator, **arguments)
    with pytest.raises(NotPermitted):
        actions.save_organization(by=tier1, name="Mine", domains=[])
