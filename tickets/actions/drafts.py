"""What is being written: kept as it is typed, sent after a moment in which it can be taken back, or later."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from staff import actions as staff
from staff.models import Notification, User
from supportdesk import events, outbox
from supportdesk.errors import Conflict, DeskError, Invalid, NotFound
from supportdesk.text import clean, one_line
from tickets import policies
from tickets.actions import _messages as messages
from tickets.actions import recipes
from tickets.actions.conversation import note, reply
from tickets.models import Draft, DraftFile, DraftState, Macro, Message, MessageKind, RemovedFile, Status, Ticket
from tickets.recipe import Recipe

MOST_TEXT = 200_000  # characters
LATEST = timedelta(days=365)
MOST_MINUTES = 1440
NOTHING = datetime.fromtimestamp(0, UTC)  # the `base` of who began to write while nothing was kept


class Unseen(Conflict):
    """The requester wrote while one was writing; `message` is what they wrote."""

    title = "The requester wrote meanwhile"

    def __init__(self, message: Message) -> None:
        super().__init__(f"{message.who} wrote while you were writing. Read it, then send again.")
        self.message = message


# ------------------------------------------------------------------------------------------- keeping
@transaction.atomic
def keep(
    *,
    number: int,
    by: User,
    text: str,
    kind: MessageKind,
    macros: Sequence[int] = (),
    minutes: int | None = None,
    base: datetime | None = None,
) -> Draft:
    """Keep what somebody has written so far. Nothing at all removes the draft.

    `base` is when the page's draft was kept last (`NOTHING`: there was none). One that was written on, sent or thrown away
    elsewhere since is a `Conflict`.
    """
    ticket = _ticket(number, by)
    text = _checked(text)
    draft = _written_on(ticket, by, base, text)
    draft.text, draft.kind, draft.macros, draft.minutes = text, kind, list(macros)[:10], minutes
    draft.updated_at = timezone.now()
    if text.strip() or draft.macros or draft.files.exists():
        draft.save()
    else:
        draft.delete()
    return draft


@transaction.atomic
def attach(*, number: int, by: User, files: Sequence[UploadedFile]) -> list[DraftFile]:
    """Keep files with the draft. Raises `Invalid` beyond the limits of a message."""
    ticket = _ticket(number, by)
    if not files:
        raise Invalid("Choose a file.", fields={"files": ["Choose a file."]})
    draft = _own(ticket, by)
    messages.check_sizes([*draft.files.values_list("size", flat=True), *(file.size or 0 for file in files)])
    return [_keep_file(draft, file) for file in files]


def _keep_file(draft: Draft, file: UploadedFile) -> DraftFile:
    kept = DraftFile(
        draft=draft,
        name=messages.safe_name(file.name or "attachment"),
        content_type=one_line(file.content_type or "application/octet-stream", most=120),
        size=file.size or 0,
    )
    kept.file.save(f"{draft.pk}", file, save=False)
    kept.save()
    return kept


@transaction.atomic
def detach(*, number: int, by: User, file_id: int) -> None:
    """Take a file off the draft again."""
    mine = DraftFile.objects.select_for_update(of=("self",)).filter(draft__user=by, draft__ticket=_ticket(number, by))
    kept = mine.filter(pk=file_id, draft__state=DraftState.DRAFT).first()
    if kept is None:
        raise NotFound("There is no such file on your draft.")
    _forget([kept])


@transaction.atomic
def discard(*, number: int, by: User, draft_id: int | None = None) -> None:
    """Throw a draft away, or what waits to be sent, with its files."""
    mine = Draft.objects.select_for_update().filter(user=by, ticket=_ticket(number, by))
    found = mine.filter(pk=draft_id).first() if draft_id else mine.filter(state=DraftState.DRAFT).first()
    if found is None:
        raise NotFound("There is no such draft of yours.")
    _remove(found)
    _tell(number)


# ------------------------------------------------------------------------------------------- sending
@transaction.atomic
def send(
    *,
    number: int,
    by: User,
    text: str,
    kind: MessageKind = MessageKind.REPLY,
    version: int | None = None,
    files: Sequence[messages.NewFile] = (),
    then: Status | None = None,
    macros: Sequence[int] = (),
    minutes: int | None = None,
    seen: int | None = None,
    at: datetime | None = None,
    base: datetime | None = None,
) -> Message | Draft:
    """Send what was written: a note at once, a reply after the moment in which its writer may take it back, or `at`.

    The files of the draft go along. `seen` is the newest message of the page; what the requester wrote after it is
    shown first (`Unseen`). `base` as of `keep`. Returns the message, or what waits to become one.
    """
    ticket = Ticket.objects.visible_to(by).lock(number, version)
    text = _checked(text).strip()
    if not text:
        raise Invalid("Write something first.", fields={"text": ["Write something first."]})
    if kind == MessageKind.NOTE:
        policies.check_can_note(by, ticket)
    else:
        policies.check_can_reply(by, ticket)
        if ticket.status == Status.CLOSED:
            raise Invalid(f"Ticket {number} is closed; reopen it to reply.")
        _check_seen(ticket, seen)
    draft = _written_on(ticket, by, base, text)
    draft.text, draft.kind, draft.macros, draft.minutes = text, kind, list(macros)[:10], minutes
    draft.then, draft.scheduled, draft.updated_at = then or "", at is not None, timezone.now()
    draft.seen = ticket.messages.order_by("-id").first()
    recipes_of(draft, by)
    draft.save()
    if files:
        attach(number=number, by=by, files=[_upload(new) for new in files])
    delay = timedelta(seconds=by.undo_seconds if kind == MessageKind.REPLY else 0)
    draft.send_at = _moment(at) if at is not None else timezone.now() + delay
    if at is None and not delay:
        return _deliver(draft)
    draft.state = DraftState.SENDING
    draft.save()
    _wait(draft)
    _tell(number)
    return draft


def _moment(at: datetime) -> datetime:
    now = timezone.now()
    if not now < at <= now + LATEST:
        words = "Choose a time to come, within a year."
        raise Invalid(words, fields={"send_at": [words]})
    return at


def _wait(draft: Draft) -> None:
    """Have it sent when its moment comes; a second row for another moment is another delivery."""
    assert draft.send_at is not None  # noqa: S101 - by the constraint
    key = f"draft:{draft.pk}:{draft.send_at.timestamp()}"
    outbox.put("tickets.send_draft", draft.pk, key=key, not_before=draft.send_at)


def _check_seen(ticket: Ticket, seen: int | None) -> None:
    if seen is None:
        return
    theirs = ticket.messages.filter(kind=MessageKind.REQUESTER, automatic=False, pk__gt=seen)
    newest = theirs.select_related("requester", "author").order_by("-id").first()
    if newest is not None:
        raise Unseen(newest)


@outbox.handler("tickets.send_draft")
def send_draft(draft_id: int) -> None:
    """Send what waits, once its moment has come. What may not leave is held back, and its writer told."""
    with transaction.atomic():
        draft = _waiting(draft_id)
        if draft is None:
            return
        try:
            with transaction.atomic():
                if not draft.user.is_active:
                    raise Conflict("Its writer has left the desk.")
                if draft.scheduled:
                    _check_seen(draft.ticket, draft.seen_id)
                _deliver(draft)
        except DeskError as problem:
            _hold(draft, str(problem))


def _waiting(draft_id: int) -> Draft | None:
    """The draft, locked after its ticket as every other act does; None when it was taken back or has another moment."""
    ticket = Draft.objects.filter(pk=draft_id).values_list("ticket", flat=True).first()
    if ticket is None:
        return None
    Ticket.objects.select_for_update(no_key=True).filter(pk=ticket).values_list("pk").first()
    waiting = Draft.objects.select_for_update(of=("self",)).select_related("user", "ticket")
    return waiting.filter(pk=draft_id, state=DraftState.SENDING, send_at__lte=timezone.now()).first()


def _deliver(draft: Draft) -> Message:
    """Make the message of a draft in the open transaction, with what its macros change, and remove the draft."""
    number, by = draft.ticket.number, draft.user
    files = [messages.NewFile(one.name, one.content_type, _content(one)) for one in draft.files.all()]
    changes = recipes_of(draft, by)
    if draft.kind == MessageKind.NOTE:
        message = note(number=number, by=by, text=draft.text, files=files, minutes=draft.minutes)
    else:
        then = Status(draft.then) if draft.then else None
        message = reply(number=number, by=by, text=draft.text, files=files, then=then, minutes=draft.minutes)
    for recipe in changes:
        recipes.apply(recipe, number=number, by=by, key=f"macro:{message.pk}")
    Macro.objects.filter(pk__in=draft.macros).update(used=F("used") + 1)
    _remove(draft)
    _tell(number)
    return message


def recipes_of(draft: Draft, by: User) -> list[Recipe]:
    """What the draft's macros change, of those that its writer may use. Raises `Invalid` for one that is gone."""
    found = {macro.pk: macro for macro in Macro.objects.visible_to(by).filter(pk__in=draft.macros)}
    if missing := set(draft.macros) - set(found):
        raise Invalid(f"{len(missing)} of the macros chosen is gone; take it off and send again.")
    return [Recipe.model_validate(found[pk].recipe) for pk in draft.macros if found[pk].recipe]


def _hold(draft: Draft, problem: str) -> None:
    draft.state, draft.problem = DraftState.HELD, problem[:300]
    draft.save(update_fields=["state", "problem"])
    text = f"Your reply on {draft.ticket.number} was not sent: {problem}"
    staff.notify(
        [
            Notification(
                user=draft.user, kind="reply.held", text=text[:300], reason="Because you wrote it",
                url=f"/tickets/{draft.ticket.number}/#draft{draft.pk}", key=f"held:{draft.pk}:{draft.send_at}",
            )
        ]
    )  # fmt: skip
    _tell(draft.ticket.number)


# ----------------------------------------------------------------------------------------- taking back
@transaction.atomic
def take_back(*, number: int, by: User, draft_id: int) -> Draft:
    """Make what waits, or was held back, a draft again; what is in the composer meanwhile stays below it.

    A note never gets into a reply: beside a text of the other kind it is only held back.
    """
    found = _pending(_ticket(number, by), by, draft_id)
    current = _find(found.ticket, by)
    if current is not None and current.text.strip() and current.kind != found.kind:
        found.state, found.send_at = DraftState.HELD, None
        found.problem = "you took it back while you wrote something else; finish that, then edit this"
        found.save()
        _tell(number)
        return found
    if current is not None:
        found.text = "\n\n".join(filter(str.strip, [found.text, current.text]))
        found.macros = list(dict.fromkeys([*found.macros, *current.macros]))[:10]
        if current.minutes is not None:
            found.minutes = min(MOST_MINUTES, (found.minutes or 0) + current.minutes)
        current.files.update(draft=found)
        current.delete()
    found.state, found.send_at, found.problem, found.updated_at = DraftState.DRAFT, None, "", timezone.now()
    found.save()
    _tell(number)
    return found


@transaction.atomic
def send_now(*, number: int, by: User, draft_id: int) -> Message:
    """Send what waits or was held back without waiting any longer; its writer has seen everything by now."""
    return _deliver(_pending(Ticket.objects.visible_to(by).lock(number), by, draft_id))


# --------------------------------------------------------------------------------------------- parts
def _ticket(number: int, by: User) -> Ticket:
    ticket = Ticket.objects.visible_to(by).select_related("tier", "requester").filter(number=number).first()
    if ticket is None:
        raise NotFound(f"There is no ticket {number}.")
    policies.check_can_note(by, ticket)
    return ticket


def _pending(ticket: Ticket, by: User, draft_id: int) -> Draft:
    """What of one's own waits on a ticket, or was held back; locked."""
    rows = Draft.objects.select_for_update(of=("self",)).select_related("ticket", "user")
    found = rows.filter(pk=draft_id, ticket=ticket).exclude(state=DraftState.DRAFT).first()
    if found is None:
        raise Conflict("It is too late: it has been sent, or taken back.")
    if found.user_id != by.pk:
        raise NotFound("There is no such draft of yours.")
    return found


def _checked(text: str) -> str:
    if len(text) > MOST_TEXT:
        words = f"This is longer than {MOST_TEXT:,} characters; attach the rest as a file."
        raise Invalid(words, fields={"text": [words]})
    return clean(text)


def _written_on(ticket: Ticket, by: User, base: datetime | None, text: str) -> Draft:
    """The draft that a page writes on, locked, unless another window did something with it since."""
    kept = _find(ticket, by)
    if kept is None and base is not None and base > NOTHING:
        raise Conflict("What you write on here was sent or thrown away in another window. Send again to send this too.")
    if kept and base is not None and kept.updated_at > base and kept.text.strip() not in {"", text.strip()}:
        raise Conflict("You wrote on elsewhere: another window has a newer draft of this.")
    return kept or _own(ticket, by)


def _find(ticket: Ticket, by: User) -> Draft | None:
    """One's draft on a ticket, locked."""
    mine = Draft.objects.select_for_update(of=("self",)).select_related("ticket", "user")
    return mine.filter(ticket=ticket, user=by, state=DraftState.DRAFT).first()


def _own(ticket: Ticket, by: User) -> Draft:
    """One's draft on a ticket, locked; made where there is none. A first one made twice at once is one."""
    Draft.objects.bulk_create([Draft(ticket=ticket, user=by)], ignore_conflicts=True)
    found = _find(ticket, by)
    assert found is not None  # noqa: S101 - made above, in this transaction
    return found


def _upload(new: messages.NewFile) -> UploadedFile:
    return UploadedFile(ContentFile(new.content), new.name, new.content_type, len(new.content))


def _content(file: DraftFile) -> bytes:
    try:
        with file.file.open() as opened:
            return bytes(opened.read())
    except FileNotFoundError:
        raise Invalid(f"The file {file.name} is missing; attach it again.") from None


def _remove(draft: Draft) -> None:
    _forget(list(draft.files.all()))
    draft.delete()


def forget_of(tickets: Sequence[int]) -> None:
    """Remove what is being written on tickets that are erased, in the open transaction."""
    _forget(list(DraftFile.objects.filter(draft__ticket__in=tickets)))
    Draft.objects.filter(ticket__in=tickets).delete()


def _forget(files: Sequence[DraftFile]) -> None:
    """Remove rows now, and their files once that is committed."""
    for file in files:
        removed = RemovedFile.objects.create(name=file.file.name or "")
        outbox.put("tickets.remove_file", removed.pk, key=f"remove:{removed.pk}", at_once=False)
        file.delete()


def _tell(number: int) -> None:
    events.publish(f"ticket.{number}", "drafts")
