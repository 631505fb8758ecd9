"""Loading, writing and publishing runbooks."""

import hashlib
from typing import Any

from django.db import transaction
from django.utils import timezone

from runbooks import definition, policies
from runbooks.models import DraftState, Runbook, RunbookDraft, RunbookVersion, Threshold
from staff import actions as staff
from staff.models import User
from supportdesk.errors import Conflict, Invalid, NotFound


@transaction.atomic
def load_runbook(*, text: str, name: str) -> Runbook:
    """Validate a definition and make it the current version; the same text again changes nothing."""
    return publish_text(definition.parse(text, name=name), text)[0]


def publish_text(parsed: definition.Definition, text: str) -> tuple[Runbook, RunbookVersion]:
    """Make a valid text the current version of its runbook. In the open transaction."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    facts = {
        "title": parsed.title,
        "description": parsed.description,
        "purpose": parsed.purpose,
        "owner": parsed.owner,
        "risk": parsed.risk,
        "tier_level": parsed.tier_level,
        "role": parsed.role,
        "view_level": parsed.view,
    }
    runbook, _ = Runbook.objects.select_for_update().get_or_create(slug=parsed.id, defaults=facts)
    version, _ = RunbookVersion.objects.get_or_create(
        runbook=runbook,
        sha256=sha256,
        defaults={"text": text, "spec": parsed.model_dump(mode="json", by_alias=True)},
    )
    if runbook.current_id != version.pk or (runbook.role, runbook.view_level) != (parsed.role, parsed.view):
        Runbook.objects.filter(pk=runbook.pk).update(current=version, **facts)
        runbook.refresh_from_db()
    return runbook, version


@transaction.atomic
def load_thresholds(*, thresholds: list[dict[str, Any]]) -> int:
    """Write the guide's tables of thresholds; returns how many."""
    for position, row in enumerate(thresholds):
        facts = {"position": position, "below": row.get("below", False), "unit": row.get("unit", "")}
        facts |= {name: row[name] for name in ("name", "group", "warning", "critical")}
        Threshold.objects.update_or_create(slug=row["slug"], defaults=facts)
    return len(thresholds)


@transaction.atomic
def save_draft(*, by: User, text: str, note: str = "", draft_id: int | None = None, slug: str = "") -> RunbookDraft:
    """Write a draft, valid or not yet: a new one, of a runbook by its slug, or the author's own again."""
    policies.check_can_write(by)
    if len(text) > 200_000:
        raise Invalid("A runbook has 200,000 characters at most.", fields={"text": ["It is too long."]})
    if draft_id is None:
        seen = Runbook.objects.visible_to(by).select_related("current")
        runbook = seen.filter(slug=slug).first() if slug else None
        if slug and runbook is None:
            raise NotFound(f"There is no runbook {slug}.")
        policies.check_can_write(by, runbook)
        return RunbookDraft.objects.create(
            runbook=runbook, base=runbook.current if runbook else None, text=text, note=note[:500], author=by
        )
    draft = _draft(draft_id)
    if draft.author_id != by.pk:
        raise Conflict("Somebody else writes this draft; make one of your own from it.")
    if draft.state == DraftState.PUBLISHED:
        raise Conflict("This draft is published; make a new one.")
    draft.text, draft.note, draft.state, draft.changed_at = text, note[:500], DraftState.DRAFT, timezone.now()
    draft.reviewer, draft.reviewed_at = None, None
    draft.save()
    return draft


@transaction.atomic
def submit_draft(*, draft_id: int, by: User) -> RunbookDraft:
    """Ask for a review; only a valid text can be asked for. Raises `DefinitionError`."""
    policies.check_can_write(by)
    draft = _draft(draft_id)
    if draft.author_id != by.pk:
        raise Conflict("Its author submits it.")
    if draft.state not in {DraftState.DRAFT, DraftState.REJECTED}:
        raise Conflict("It is submitted already.")
    _valid(draft)
    draft.state, draft.changed_at = DraftState.IN_REVIEW, timezone.now()
    draft.save(update_fields=["state", "changed_at"])
    return draft


@transaction.atomic
def publish_draft(*, draft_id: int, by: User, note: str = "", sha256: str = "") -> RunbookDraft:
    """Make the draft the current version; never by its author.

    `sha256` is that of the text that the reviewer has seen. Raises `Conflict` when the text is another by now, or the
    runbook has moved on since.
    """
    draft = _draft(draft_id)
    policies.check_can_publish(by, draft.author_id)
    if draft.state != DraftState.IN_REVIEW:
        raise Conflict("Only what is in review can be published.")
    if sha256 and sha256 != hashlib.sha256(draft.text.encode()).hexdigest():
        raise Conflict("Its author changed the text since you opened it; look at it again.")
    parsed = _valid(draft)
    policies.check_can_publish_definition(by, parsed.tier_level, parsed.role)
    current = Runbook.objects.select_for_update().filter(slug=parsed.id).first()
    if current is not None and draft.base_id != current.current_id:
        raise Conflict(f"“{current.title}” was published anew since this draft was begun; bring it up to date first.")
    runbook, version = publish_text(parsed, draft.text)
    draft.runbook, draft.version, draft.state = runbook, version, DraftState.PUBLISHED
    _reviewed(draft, by, note)
    staff.audit(
        by=by,
        action="runbook.published",
        thing=runbook.slug,
        before={"version": draft.base.sha256 if draft.base else None},
        after={"version": version.sha256, "author": draft.author.email},
    )
    return draft


@transaction.atomic
def reject_draft(*, draft_id: int, by: User, note: str) -> RunbookDraft:
    """Send it back with what is wrong with it."""
    draft = _draft(draft_id)
    policies.check_can_publish(by, draft.author_id)
    if draft.state != DraftState.IN_REVIEW:
        raise Conflict("Only what is in review can be sent back.")
    if not note.strip():
        raise Invalid("Say what is wrong with it.", fields={"note": ["Say what is wrong with it."]})
    draft.state = DraftState.REJECTED
    _reviewed(draft, by, note)
    return draft


@transaction.atomic
def retire(*, slug: str, by: User, retired: bool = True) -> Runbook:
    """Take a runbook out of use, or back into it; its runs stay."""
    policies.check_can_publish(by, 0)
    runbook = Runbook.objects.select_for_update().filter(slug=slug).first()
    if runbook is None:
        raise NotFound(f"There is no runbook {slug}.")
    runbook.retired_at = timezone.now() if retired else None
    runbook.save(update_fields=["retired_at"])
    staff.audit(by=by, action="runbook.retired" if retired else "runbook.reinstated", thing=slug)
    return runbook


@transaction.atomic
def set_favourite(*, slug: str, by: User, favourite: bool) -> Runbook:
    """Keep a runbook at the top of one's own catalogue."""
    runbook = Runbook.objects.visible_to(by).filter(slug=slug).first()
    if runbook is None:
        raise NotFound(f"There is no runbook {slug}.")
    (runbook.favourite_of.add if favourite else runbook.favourite_of.remove)(by)
    return runbook


def _draft(pk: int) -> RunbookDraft:
    draft = (
        RunbookDraft.objects.select_for_update(of=("self",))
        .select_related("author", "base", "runbook")
        .filter(pk=pk)
        .first()
    )
    if draft is None:
        raise NotFound(f"There is no draft {pk}.")
    return draft


def _valid(draft: RunbookDraft) -> definition.Definition:
    parsed = definition.parse(draft.text, name="draft")
    if draft.runbook is not None and parsed.id != draft.runbook.slug:
        raise Invalid(f"Its id is {parsed.id}, but it is a draft of {draft.runbook.slug}.")
    if draft.runbook is None and Runbook.objects.filter(slug=parsed.id).exists():
        raise Invalid(f"There is a runbook {parsed.id} already; edit that one, or give this one another id.")
    return parsed


def _reviewed(draft: RunbookDraft, by: User, note: str) -> None:
    draft.reviewer, draft.review_note = by, note[:500]
    draft.reviewed_at = draft.changed_at = timezone.now()
    draft.save()
