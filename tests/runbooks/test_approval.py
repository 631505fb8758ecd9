"""Approval: who gives it, for what, ahead, and the glass that is broken."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from runbooks import actions
from runbooks.engine import reaper
from runbooks.models import Execution, RunApproval, RunState, Target
from staff.models import Notification
from supportdesk.errors import Conflict, Invalid, NotPermitted
from tests.factories import UserFactory, agent
from tests.factories import lead as make_lead
from tests.runbooks.make import runbook, step
from tests.runbooks.test_engine import finish, start


@pytest.fixture
def dangerous(target):
    return runbook("dangerous", [step("work", "true", effect="once")], risk="destructive", tier=2)


def test_what_destroys_waits_for_somebody_else(dangerous):
    by, other = agent(2), agent(2)
    run = start("dangerous", by)
    assert run.state == RunState.AWAITING_APPROVAL
    assert Notification.objects.filter(user=other, text__contains="asks for approval").exists()
    assert not actions.perform(execution_id=run.pk)
    with pytest.raises(NotPermitted):
        actions.approve(execution_id=run.pk, by=by)
    with pytest.raises(NotPermitted):
        actions.approve(execution_id=run.pk, by=agent(1))
    with pytest.raises(Conflict):
        actions.approve(execution_id=run.pk, by=other, plan="another")
    actions.approve(execution_id=run.pk, by=other, plan=run.plan_hash)
    assert finish(run).state == RunState.SUCCEEDED


def test_administrators_do_not_approve_their_own_either(dangerous):
    admin = UserFactory(role="administrator")
    run = start("dangerous", admin)
    with pytest.raises(NotPermitted):
        actions.approve(execution_id=run.pk, by=admin)


def test_the_database_itself_refuses_a_run_without_its_approvals(dangerous):
    run = start("dangerous", agent(2))
    for change in ({"state": RunState.QUEUED}, {"state": RunState.RUNNING, "lease_expires_at": timezone.now()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Execution.objects.filter(pk=run.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        RunApproval.objects.create(
            execution=run, plan_hash=run.plan_hash, approver=run.requested_by, requester=run.requested_by, approved=True
        )
    other = agent(2)
    RunApproval.objects.create(
        execution=run, plan_hash="x" * 64, approver=other, requester=run.requested_by, approved=True
    )
    with pytest.raises(IntegrityError), transaction.atomic():  # a yes to another plan does not count
        Execution.objects.filter(pk=run.pk).update(state=RunState.QUEUED)


def test_what_was_approved_is_not_changed_afterwards(dangerous):
    run = start("dangerous", agent(2))
    for change in ({"params": {"x": 1}}, {"approvals_needed": 0}, {"plan_hash": "y"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Execution.objects.filter(pk=run.pk).update(**change)


def test_a_target_that_changed_after_the_approval_voids_it(dangerous):
    run = start("dangerous", agent(2))
    actions.approve(execution_id=run.pk, by=agent(2))
    Target.objects.filter(slug="shop").update(
        connections={"paths": {"type": "paths", "folders": {"logs": "/elsewhere"}}}
    )
    assert "has changed since" in finish(run).summary


def test_a_no_ends_it_and_needs_a_reason(dangerous):
    run = start("dangerous", agent(2))
    with pytest.raises(Invalid):
        actions.approve(execution_id=run.pk, by=agent(2), approved=False)
    actions.approve(execution_id=run.pk, by=agent(2), approved=False, comment="Not today")
    run.refresh_from_db()
    assert (run.state, "Not today" in run.summary) == (RunState.CANCELLED, True)


def test_two_approvals_want_two_people(target):
    runbook("grave", [step("work", effect="once")], risk="destructive", tier=2, approval={"count": 2})
    run, one = start("grave", agent(2)), agent(2)
    actions.approve(execution_id=run.pk, by=one)
    actions.approve(execution_id=run.pk, by=one)
    run.refresh_from_db()
    assert run.state == RunState.AWAITING_APPROVAL
    actions.approve(execution_id=run.pk, by=agent(3))
    assert finish(run).state == RunState.SUCCEEDED


def test_an_approval_that_nobody_gives_expires(dangerous):
    run = start("dangerous", agent(2))
    Execution.objects.filter(pk=run.pk).update(approval_expires_at=timezone.now() - timedelta(seconds=1))
    assert reaper.expire() == 1
    run.refresh_from_db()
    assert run.state == RunState.FAILED


def test_a_yes_given_ahead_counts_in_its_window_for_that_plan_only(dangerous):
    now, other = timezone.now(), agent(2)
    actions.approve_ahead(slug="dangerous", target="shop", by=other, starts_at=now, ends_at=now + timedelta(hours=1))
    assert start("dangerous", other).state == RunState.AWAITING_APPROVAL  # not for oneself
    assert finish(start("dangerous", agent(2))).state == RunState.SUCCEEDED
    runbook("dangerous", [step("work", "echo changed", effect="once")], risk="destructive", tier=2)
    assert start("dangerous", agent(2)).state == RunState.AWAITING_APPROVAL


def test_the_glass_is_broken_by_leads_with_a_reason_and_everybody_is_told(dangerous):
    other = agent(2)
    with pytest.raises(NotPermitted):
        start("dangerous", agent(2), break_glass="fire")
    run = finish(start("dangerous", make_lead(2), break_glass="The shop is down"))
    assert run.state == RunState.SUCCEEDED
    assert Notification.objects.filter(user=other, text__contains="broke the glass").exists()


def test_a_target_may_ask_for_more_than_the_runbook(target):
    runbook("mild", [step("work", effect="idempotent")], risk="change", tier=1)
    Target.objects.filter(slug="shop").update(approvals={"change": 1})
    assert start("mild", agent(1)).state == RunState.AWAITING_APPROVAL


def test_another_target_that_a_step_uses_asks_for_its_own_approval_and_rights(target):
    actions.save_target(
        slug="prod",
        name="Prod",
        environment="production",
        connections=target.connections,
        approvals={"change": 2},
        run_level=3,
    )
    params = {"where": {"type": "target", "label": "Where"}}
    runbook("reach", [step("work", effect="idempotent", on="{where}")], params=params, tier=1)
    with pytest.raises(NotPermitted, match="Prod"):
        start("reach", agent(2), params={"where": "prod"})
    run = start("reach", agent(3), params={"where": "prod"})
    assert (run.state, run.approvals_needed, run.approval_tier) == (RunState.AWAITING_APPROVAL, 2, 3)
    assert finish(start("reach", agent(1), params={"where": "shop"})).state == RunState.SUCCEEDED


def test_a_deactivated_person_neither_runs_nor_approves(dangerous):
    run, other = start("dangerous", agent(2)), agent(2)
    other.is_active = False
    other.save()
    with pytest.raises(NotPermitted):
        actions.approve(execution_id=run.pk, by=other)
    with pytest.raises(NotPermitted):
        start("dangerous", other)
