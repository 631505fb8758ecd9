"""Views of the queue that people keep."""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from staff import actions as staff
from staff.models import User
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import one_line
from tickets import policies
from tickets.models import SavedView
from tickets.query.compile import Compiler
from tickets.query.language import QueryError, parse

MOST = 50  # of one person, and of all


@transaction.atomic
def save_view(
    *, by: User, pk: int | None = None, name: str, query: str, columns: Sequence[str] = (), sort: str = "", group: str = "",
    for_all: bool = False, position: int = 0,
) -> SavedView:  # fmt: skip
    """Make or change a view of one's own, or with the right to make rules one for all."""
    policies.check_can_keep_views(by)
    found = _mine(pk, by) if pk else SavedView(owner=by)
    if for_all or found.owner_id is None:
        policies.check_can_make_rules(by)
    found.name, found.query, found.owner = one_line(name, most=60), one_line(query, most=500), None if for_all else by
    found.columns, found.sort, found.group, found.position = list(columns), sort, group, position
    wrong: dict[str, list[str]] = {}
    if not found.name:
        wrong["name"] = ["Give it a name."]
    elif SavedView.objects.filter(owner=found.owner, name=found.name).exclude(pk=found.pk).exists():
        wrong["name"] = ["There is a view of this name."]
    try:
        node = parse(found.query)
        if node is not None:
            Compiler(by, notes=policies.can_read_notes(by)).check(node)
    except QueryError as refused:
        wrong["query"] = [str(refused)]
    if not found.pk and SavedView.objects.filter(owner=found.owner).count() >= MOST:
        wrong["name"] = [f"{MOST} views are enough; delete one first."]
    if wrong:
        raise Invalid(" ".join(words for said in wrong.values() for words in said), fields=wrong)
    found.changed_at, found.changed_by = timezone.now(), by
    found.save()
    if found.owner_id is None:
        staff.audit(by=by, action="view.saved", thing=f"view {found.name}", after={"query": found.query})
    return found


@transaction.atomic
def delete_view(*, by: User, pk: int) -> SavedView:
    """Delete a view; its tickets stay as they are."""
    policies.check_can_keep_views(by)
    found = _mine(pk, by)
    if found.owner_id is None:
        policies.check_can_make_rules(by)
        staff.audit(by=by, action="view.deleted", thing=f"view {found.name}", before={"query": found.query})
    found.delete()
    return found


def _mine(pk: int, by: User) -> SavedView:
    found = SavedView.objects.visible_to(by).select_for_update(of=("self",)).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such view.")
    return found
