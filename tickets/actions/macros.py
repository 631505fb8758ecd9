"""Words kept ready, with changes that go along."""

from django.db import transaction
from django.utils import timezone

from staff import actions as staff
from staff.models import User
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import clean, one_line
from tickets import policies
from tickets.actions import recipes
from tickets.mail import wording
from tickets.models import Macro, MessageKind
from tickets.recipe import Recipe


@transaction.atomic
def save_macro(
    *, by: User, pk: int | None = None, name: str, text: str, recipe: Recipe, kind: str = MessageKind.REPLY,
    for_all: bool = False, position: int = 0,
) -> Macro:  # fmt: skip
    """Make or change a macro of one's own, or with the right to make rules one for all."""
    policies.check_can_bulk(by)
    found = _mine(pk, by) if pk else Macro(owner=by)
    if for_all or found.owner_id is None:
        policies.check_can_make_rules(by)
    before = _shown(found) if found.pk else None
    found.name, found.text, found.recipe = one_line(name, most=80), clean(text).strip()[:20_000], recipe.as_data()
    found.owner, found.kind, found.position = None if for_all else by, MessageKind(kind), position
    wrong: dict[str, list[str]] = {}
    if not found.name:
        wrong["name"] = ["Give it a name."]
    elif Macro.objects.filter(owner=found.owner, name=found.name).exclude(pk=found.pk).exists():
        wrong["name"] = ["There is a macro of this name."]
    if recipe.note.strip() or recipe.reply.strip():
        wrong["text"] = ["Words belong into the text; changes say nothing."]
    if not found.text and recipe.is_empty:
        wrong["text"] = ["Write a text, or choose a change."]
    wrong |= wording.unknown_names({"text": found.text}, MACRO_NAMES)
    if wrong:
        raise Invalid(" ".join(words for said in wrong.values() for words in said), fields=wrong)
    found.changed_at, found.changed_by = timezone.now(), by
    found.save()
    staff.audit(by=by, action="macro.saved", thing=f"macro {found.name}", before=before, after=_shown(found))
    return found


# What a macro may name: facts that are known before anything is sent.
MACRO_NAMES = ("number", "subject", "requester", "agent", "desk", "url")


def _shown(macro: Macro) -> dict[str, object]:
    return {"name": macro.name, "text": macro.text, "changes": macro.recipe, "for": "all" if macro.owner_id is None else "its owner"}  # fmt: skip


def _mine(pk: int, by: User) -> Macro:
    found = Macro.objects.visible_to(by).select_for_update(of=("self",)).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such macro.")
    return found


@transaction.atomic
def delete_macro(*, by: User, pk: int) -> Macro:
    """Delete a macro; drafts that hold its changes say that it is gone."""
    policies.check_can_bulk(by)
    found = _mine(pk, by)
    if found.owner_id is None:
        policies.check_can_make_rules(by)
    staff.audit(by=by, action="macro.deleted", thing=f"macro {found.name}", before=_shown(found))
    found.delete()
    return found


@transaction.atomic
def apply_macro(*, number: int, by: User, pk: int, version: int | None = None) -> list[str]:
    """Make the changes of a macro that says nothing, now; what was done, in sentences. Never sends a draft."""
    found = _mine(pk, by)
    if found.text:
        raise Invalid(f"“{found.name}” has words: take it into the text, read it, and send it.")
    done = recipes.apply(Recipe.model_validate(found.recipe), number=number, by=by, version=version, key=f"macro:{pk}:{timezone.now()}")  # fmt: skip
    Macro.objects.filter(pk=pk).update(used=found.used + 1)
    return done.events
