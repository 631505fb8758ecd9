"""Mail in: stored raw and committed first, applied after, once.

`store` is what a mail server waits for. `apply` may run any number of times for one message, in
any process; the lock and the state make it happen once.
"""

import hashlib
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from staff import actions as staff
from staff.models import User
from supportdesk import doorbell
from supportdesk.errors import DeskError, Invalid
from supportdesk.text import clean, one_line
from tickets import actions
from tickets.actions import _values as values
from tickets.actions import recipes
from tickets.actions._messages import NewFile
from tickets.actions.life import find_requester
from tickets.mail import addresses, bounces, outgoing, parsing, quotes, reader, sorting, source, whose
from tickets.models import (
    Channel,
    InboundEmail,
    InboundState,
    Mailbox,
    MailRule,
    Message,
    Priority,
    Status,
    Ticket,
    TicketEvent,
    Via,
)
from tickets.recipe import Recipe

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 5
HEAD_SECONDS = 5.0  # that the headers of a mail that cannot be read may take
BELL = "mail"  # one ring a worker: what it costs to ring is what it costs to apply a mail
LOT = 50  # how many are looked up at once
LOCK_OF_ID = 7303  # first half of those of Message-IDs
LOCK = 7302  # of the advisory locks by which one worker at a time applies a mail
STORM, STORM_TIME = (
    5,
    timedelta(minutes=10),
)  # so many alike within that time, and the next ones are folded into one ticket


@dataclass(frozen=True)
class Outcome:
    """What became of a mail: the line that `receive_mail` prints."""

    outcome: str
    ticket: int | None
    inbound: int
    reason: str = ""


@dataclass(frozen=True)
class Envelope:
    """How a message came: by which way, from and to which addresses, from which machine."""

    via: Via = Via.PIPE
    sender: str = ""
    recipients: Sequence[str] = ()
    remote: str = ""


def store(raw: bytes, *, mailbox: Mailbox, envelope: Envelope | None = None) -> InboundEmail:
    """Keep the raw message. When this returns outside a transaction the mail is committed and may be acknowledged."""
    if not raw.strip():
        raise Invalid("The message is empty: a whole mail is needed, headers and body.")
    envelope = envelope or Envelope()
    facts = {
        "mailbox": mailbox, "content_hash": source.content_hash(raw), "via": envelope.via, "remote": one_line(envelope.remote, most=300),
        "envelope_from": one_line(envelope.sender, most=320), "envelope_to": [one_line(one, most=320) for one in envelope.recipients][:100],
    }  # fmt: skip
    try:
        with transaction.atomic():
            inbound = InboundEmail.objects.create(raw=raw, **facts)
            transaction.on_commit(lambda: doorbell.ring_once("tickets.apply_mail", BELL))
            return inbound
    except IntegrityError:
        first = InboundEmail.objects.exclude(state=InboundState.DUPLICATE).get(content_hash=facts["content_hash"])
        return InboundEmail.objects.create(
            **facts, raw=raw if first.raw else b"",  # what was erased does not come back with a second delivery
            rfc_id=first.rfc_id, sender=first.sender, subject=first.subject, state=InboundState.DUPLICATE, outcome="duplicate",
            ticket=first.ticket, applied_at=timezone.now(),
        )  # fmt: skip


def has_copy(raw: bytes, *, remote: str) -> bool:
    """Whether this very copy of a mail, by where it came from, is stored already."""
    same = InboundEmail.objects.filter(content_hash=source.content_hash(raw))
    first, copies = same.exclude(state=InboundState.DUPLICATE), same.filter(state=InboundState.DUPLICATE)
    return first.exists() and (first.filter(remote=remote).exists() or copies.filter(remote=remote).exists())


def take_upload(raw: bytes, *, mailbox: Mailbox, envelope: Envelope) -> Outcome:
    """Store a mail and apply it at once. Raises Invalid for what is no mail."""
    if len(raw) > settings.MAIL_MAX_MB * 1024 * 1024:
        raise Invalid(f"This mail is larger than the {settings.MAIL_MAX_MB} MB that the desk takes.")
    head = raw.lstrip()[:20_000].replace(b"\r", b"").partition(b"\n\n")[0]
    if not re.search(rb"^(from|to|subject|date|received|message-id|return-path):", head, re.IGNORECASE | re.MULTILINE):
        raise Invalid("This is no mail: it begins with none of the headers of one. Save it as .eml and try again.")
    inbound = store(raw, mailbox=mailbox, envelope=envelope)
    try:
        return apply(inbound.pk)
    except reader.NotReady:  # the workers read it as soon as they can
        return said_of(inbound)


def apply(inbound_id: int) -> Outcome:
    """Turn a stored message into a ticket, a reply or a note of a bounce; say what it became.

    A message that cannot be read becomes a ticket with the raw mail attached, and needs a look.
    """
    begun = _begin(inbound_id)
    if begun is None:
        return said_of(InboundEmail.objects.defer("raw").get(pk=inbound_id))
    raw, return_path, attempts = begun
    mail, error = (None, None) if attempts > MOST_ATTEMPTS else read(raw, envelope_from=return_path)
    with transaction.atomic():
        # Without the ticket: what another process did while this one waited must be seen whole.
        locked = InboundEmail.objects.select_for_update(of=("self",)).select_related("mailbox__tier")
        inbound = locked.defer("raw").get(pk=inbound_id)
        if inbound.state != InboundState.STORED:
            return said_of(inbound)
        try:
            with transaction.atomic():
                if mail is None:
                    raise error or ValueError(f"It was tried {MOST_ATTEMPTS} times, and whoever tried it ended.")
                _apply(inbound, mail)
        except DatabaseError as failure:
            if attempts < MOST_ATTEMPTS and not isinstance(failure, IntegrityError):
                raise
            _keep_unread(inbound, raw, failure)
        except Exception as failure:
            log.warning("mail %s needs a look: %s", inbound.pk, failure)
            _keep_unread(inbound, raw, failure)
        inbound.applied_at = timezone.now()
        inbound.save(update_fields=KEPT)
    return said_of(inbound)


# What applying a mail writes on its row; never the raw bytes again.
KEPT = [
    "state", "outcome", "ticket", "message", "error", "applied_at", "rfc_id", "sender", "subject", "checks", "doubt", "reply_to", "protection", "language",
    "unverified", "unanswerable", "spam", "perhaps", "likeness", "rules",
]  # fmt: skip


def _begin(inbound_id: int) -> tuple[bytes, str | None, int] | None:
    """Count an attempt, before whatever it may do to this process: (raw, `InboundEmail.return_path`, which attempt).

    None for a mail that was applied.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tickets_inboundemail SET attempts = attempts + 1 WHERE id = %s AND state = %s"
            " RETURNING raw, via, envelope_from, attempts",
            [inbound_id, InboundState.STORED],
        )
        row = cursor.fetchone()
    return (bytes(row[0]), InboundEmail(via=row[1], envelope_from=row[2]).return_path, row[3]) if row else None


@dataclass(frozen=True)
class Facts:
    """What the desk knows of a mail before it decides: asked in one statement, since every mail asks."""

    from_staff: bool  # its sender is the address of one of us
    dead: bool  # mail to the sender came back
    rules: bool  # there are rules on mail
    own: frozenset[str]  # those of its addresses that are active mailboxes, without what reply addresses add
    alike: list[int]  # tickets of the newest mails of the same likeness within the time of a storm

    @classmethod
    def of(cls, mail: parsing.Mail, likeness: str) -> "Facts":
        """Ask the database about sender, addresses and likeness."""
        named = sorted({addresses.base_of(one) for one in [mail.sender, *mail.copies]})
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM staff_user WHERE lower(email) = %s AND is_active),"
                " EXISTS (SELECT FROM tickets_mailaddress WHERE address = %s AND bounced_at IS NOT NULL),"
                " EXISTS (SELECT FROM tickets_mailrule WHERE active),"
                " ARRAY (SELECT lower(address) FROM tickets_mailbox WHERE active AND lower(address) = ANY(%s)),"
                " ARRAY (SELECT ticket_id FROM tickets_inboundemail WHERE likeness = %s AND received_at > %s"
                " AND ticket_id IS NOT NULL ORDER BY id DESC LIMIT %s)",
                [mail.sender, mail.sender, named, likeness, timezone.now() - STORM_TIME, STORM],
            )
            staff, dead, rules, own, alike = cursor.fetchone()
        return cls(staff, dead, rules, frozenset(own), list(alike))

    def is_own(self, address: str) -> bool:
        """Whether an address is one of the desk's, with or without what a reply address adds to it."""
        return addresses.base_of(address) in self.own


def read(raw: bytes, *, envelope_from: str | None) -> tuple[parsing.Mail | None, Exception | None]:
    try:
        return reader.read(raw, settings.MAIL_TRUSTED_RELAYS, envelope_from=envelope_from), None
    except reader.NotReady:
        raise
    except (reader.TooMuch, ValueError) as error:
        return None, error


def said_of(inbound: InboundEmail) -> Outcome:
    number = inbound.ticket.number if inbound.ticket else None
    return Outcome(
        inbound.outcome or "stored",
        number,
        inbound.pk,
        reason=inbound.error if inbound.outcome == "rejected" else "",
    )


def _apply(inbound: InboundEmail, mail: parsing.Mail) -> None:
    if is_no_message(inbound, mail) or _came_before(inbound, mail):
        return
    verdict, facts = judge(inbound, mail)
    found = whose.find(mail, inbound)
    if found is not None and not (inbound.spam and found.staff is None):
        _add(inbound, mail, found, facts)
    else:
        inbound.perhaps = found.ticket if found else inbound.perhaps  # what a filter took for spam may be an answer
        _open(inbound, mail, verdict, facts)


def _came_before(inbound: InboundEmail, mail: parsing.Mail) -> bool:
    """Note a second copy that a relay encoded in another way, so that its bytes are others: the same words and files."""
    if not mail.message_id:
        return False
    with connection.cursor() as cursor:  # two copies at once wait for each other
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_OF_ID, mail.message_id])
    before = Message.objects.filter(rfc_id=mail.message_id, requester__email=mail.sender, inbound__isnull=False)
    for message in before.select_related("ticket", "inbound").order_by("id")[:5]:
        if _says_the_same(message, mail) and source.have_same_headers(bytes(message.inbound.raw), bytes(inbound.raw)):
            inbound.state, inbound.outcome, inbound.ticket = InboundState.DUPLICATE, "duplicate", message.ticket
            return True
    return False


def _says_the_same(message: Message, mail: parsing.Mail) -> bool:
    texts = {" ".join(text.split()) for text in (mail.text, mail.fresh, _opening(mail)[0])}
    files = sorted(len(file.content) for file in mail.files)
    return " ".join(message.text.split()) in texts and files == sorted(
        message.attachments.values_list("size", flat=True)
    )


def is_no_message(inbound: InboundEmail, mail: parsing.Mail) -> bool:
    """Note what was read of a mail; whether that is all, since it is one of ours that came back, or a report of one."""
    inbound.state, inbound.rfc_id = InboundState.APPLIED, mail.message_id
    inbound.sender, inbound.subject = mail.sender, mail.subject
    inbound.checks, inbound.doubt, inbound.reply_to = mail.checks, mail.doubt, mail.reply_to[:254]
    inbound.protection, inbound.language = mail.protection, mail.language
    if mail.message_id and addresses.ticket_number_of_ours(mail.message_id):
        inbound.outcome, inbound.error = "rejected", "a mail of this desk came back to it (loop)"
    elif settings.MAIL_DOMAIN in mail.loops and mail.bounce is None:
        inbound.outcome, inbound.error = "rejected", "an automatic mail of this desk came back to it (loop)"
    elif mail.bounce is not None and bounces.note(inbound, mail.bounce):
        inbound.outcome = "bounce"
    else:
        return False
    return True


def judge(inbound: InboundEmail, mail: parsing.Mail) -> tuple[sorting.Verdict, Facts]:
    """What the rules on mail and the desk's own facts say of it; noted on its row."""
    inbound.likeness = _likeness(mail)
    facts = Facts.of(mail, inbound.likeness)
    if facts.dead and not mail.automatic:
        bounces.heard_from(mail.sender)
    rules = MailRule.objects.filter(active=True).select_related("tier") if facts.rules else []
    verdict = sorting.judge(mail, inbound.mailbox, rules)
    if verdict.rules:
        inbound.rules = [rule.pk for rule in verdict.rules]
        MailRule.objects.filter(pk__in=inbound.rules).update(matched=F("matched") + 1)
    inbound.spam = verdict.spam or mail.spam
    inbound.unverified = facts.from_staff
    # To a forged sender an answer would go to whoever it pretends to be.
    no_person = mail.unanswerable or mail.automatic or facts.is_own(mail.sender)
    inbound.unanswerable = no_person or inbound.unverified or whose.is_forged(mail)
    return verdict, facts


# ----------------------------------------------------------------------------- what it becomes
def _add(inbound: InboundEmail, mail: parsing.Mail, found: whose.Found, facts: Facts) -> None:
    if found.staff is not None and not mail.automatic:
        _from_staff(inbound, mail, found.ticket, found.staff)
        return
    inbound.ticket, inbound.message = actions.receive(
        ticket_id=found.ticket.pk,
        requester=find_requester(mail.sender, mail.sender_name),
        text=mail.fresh or mail.text or "(no text)",
        html=mail.fresh_html,
        quoted=mail.quoted,
        message_id=mail.message_id,
        automatic=mail.automatic or facts.is_own(mail.sender),
        subject=mail.subject,
        files=files_of(mail),
        reopen_days=inbound.mailbox.reopen_days,
        copies=_copies(mail, inbound.mailbox, facts) if _may_add(found, mail) else [],
    )
    began = inbound.ticket.pk != found.ticket.pk and inbound.ticket.messages.count() == 1  # a follow-up
    inbound.outcome = "auto_reply" if mail.automatic else "ticket" if began else "reply"


def _may_add(found: whose.Found, mail: parsing.Mail) -> bool:
    """Whether those who get this mail too may hear what is answered: its sender is known there, and beyond doubt."""
    return found.signed and not mail.doubt and whose.is_known(mail.sender, found.ticket)


def _from_staff(inbound: InboundEmail, mail: parsing.Mail, ticket: Ticket, by: User) -> None:
    """An answer of one of us by their own signed address: a public reply, or after #note an internal note."""
    ticket = _heir(ticket)
    text, is_note = mail.fresh.strip(), mail.fresh.lstrip().lower().startswith("#note")
    text = re.sub(r"^\s*#note\s*", "", text, flags=re.IGNORECASE) or "(no text)"
    files = files_of(mail)
    try:
        with transaction.atomic():
            act = actions.note if is_note else actions.reply
            inbound.message = act(number=ticket.number, by=by, text=text, files=files)
    except DeskError as refused:
        TicketEvent.record(ticket, by, "reply_refused", reason=str(refused)[:200])
        inbound.message = actions.keep_note(ticket=ticket, by=by, text=text, files=files)
    inbound.ticket, inbound.outcome = ticket, "reply"


def _heir(ticket: Ticket) -> Ticket:
    while ticket.merged_into is not None:
        ticket = ticket.merged_into
    return ticket


def _open(inbound: InboundEmail, mail: parsing.Mail, verdict: sorting.Verdict, facts: Facts) -> None:
    if (alike := _storm(facts)) is not None:
        inbound.ticket, inbound.message = actions.receive(
            ticket_id=alike.pk, requester=find_requester(mail.sender, mail.sender_name), text=mail.fresh or mail.text or "(no text)",
            quoted=mail.quoted, message_id=mail.message_id, automatic=True, subject=mail.subject, files=files_of(mail),
        )  # fmt: skip
        TicketEvent.record(alike, inbound.message.who, "folded", message=inbound.message.pk)
        inbound.outcome = "auto_reply" if mail.auto_reply else "ticket"
        return
    inner = (
        mail.forwarded if inbound.unverified and not whose.is_forged(mail) else None
    )  # forwarded by one of us: it is the original sender who asks
    automatic = mail.automatic or facts.is_own(mail.sender)
    ticket, message = actions.open_ticket(
        by=None,
        requester_email=inner.sender if inner else mail.sender,
        requester_name=inner.sender_name if inner else mail.sender_name,
        subject=(inner.subject or quotes.bare_subject(mail.subject)) if inner else mail.subject,
        text=(inner.text if inner else _opening(mail)[0])
        or ("(no text)" if not mail.files else "(no text; see the files)"),
        html="" if inner else mail.html,
        quoted="" if inner else _opening(mail)[1],
        message_id=mail.message_id,
        automatic=automatic and inner is None,
        tier=verdict.tier or inbound.mailbox.tier,
        priority=Priority(inbound.mailbox.priority),
        channel=Channel.EMAIL,
        files=files_of(mail),
        cc=_copies(mail, inbound.mailbox, facts),
        spam=inbound.spam,
    )
    inbound.ticket, inbound.message = ticket, message
    inbound.outcome = "bounce" if mail.bounce else "auto_reply" if mail.auto_reply else "ticket"
    if inner:
        proven = mail.checks.get("dmarc") == "pass" and not mail.doubt
        inbound.unverified = not proven  # who forwards is who they say; what they forward is their word
        TicketEvent.record(ticket, mail.sender, "forwarded", of=inner.sender)
        if inner.said_above:
            doubt = "" if proven else " (nothing proves that it was they)"
            said = f"{mail.sender} forwarded this, and wrote above it{doubt}:\n\n{inner.said_above}"
            actions.keep_note(ticket=ticket, by=staff.automation(), text=said)
    if inbound.perhaps is not None:
        TicketEvent.record(ticket, "Supportdesk", "perhaps", other=inbound.perhaps.number)
    for recipe in verdict.recipes:
        follow(ticket, recipe)
    if not (inbound.unanswerable or inbound.spam or inner):
        outgoing.acknowledge(ticket, message)


def _opening(mail: parsing.Mail) -> tuple[str, str]:
    """The text of a first mail, and its signature, which is folded. What it quotes is news to the desk and stays."""
    return (mail.text, "") if mail.html else quotes.split_signature(mail.text)


def follow(ticket: Ticket, recipe: object) -> None:
    """Do what a rule on mail says; what cannot be done any more is said in the ticket's history and stops nothing."""
    try:
        with transaction.atomic():
            recipes.apply(
                Recipe.model_validate(recipe), number=ticket.number, by=staff.automation(), key=f"mail:{ticket.pk}"
            )
    except (DeskError, ValueError) as refused:
        TicketEvent.record(ticket, "Supportdesk", "mail_rule_failed", reason=str(refused)[:200])


def _copies(mail: parsing.Mail, mailbox: Mailbox, facts: Facts) -> list[str]:
    """Who else it went to, without the desk's own addresses."""
    if not mailbox.keeps_copies or mail.automatic:
        return []
    found = [one for one in mail.copies if not facts.is_own(one) and not addresses.is_reply_address(one)]
    return values.copies(filter(values.is_address, found), mail.sender, most=True)


def files_of(mail: parsing.Mail) -> list[NewFile]:
    return [NewFile(file.name, file.content_type, file.content, file.content_id) for file in mail.files]


# --------------------------------------------------------------------------------------- storms
def _likeness(mail: parsing.Mail) -> str:
    subject = re.sub(r"\d+", "#", quotes.bare_subject(mail.subject).lower())
    return hashlib.sha256(f"{mail.sender}\n{subject}".encode()).hexdigest()[:40]


def _storm(facts: Facts) -> Ticket | None:
    """The open ticket of the newest alike mail, when many came in a short time."""
    if len(facts.alike) < STORM:
        return None
    last = Ticket.objects.filter(pk=facts.alike[0], spam_at=None)
    return last.exclude(status__in=[Status.RESOLVED, Status.CLOSED]).first()


# --------------------------------------------------------------------------- what needs a look
def _keep_unread(inbound: InboundEmail, raw: bytes, error: Exception) -> None:
    """Open a ticket with what can be read and the raw mail, so that a person reads it."""
    own_words = isinstance(error, reader.TooMuch | DeskError) or type(error) is ValueError
    words = str(error) if own_words else f"{type(error).__name__}: {error}"
    inbound.state, inbound.error, inbound.outcome = InboundState.FAILED, words[:2000], "ticket"
    try:
        head = reader.read(source.head_of(raw), envelope_from=inbound.return_path, seconds=HEAD_SECONDS)
        name, sender, subject = head.sender_name, head.sender, head.subject
    except (reader.TooMuch, reader.NotReady, ValueError):
        name, sender, subject = "", parsing.NOBODY, ""
    inbound.sender, inbound.subject = sender, subject
    shown = clean(raw[:4000].decode("utf-8", "replace"))
    inbound.ticket, inbound.message = actions.open_ticket(
        by=None,
        requester_email=sender,
        requester_name=name,
        subject=subject or f"Mail {hashlib.sha256(raw).hexdigest()[:8]} that could not be read",
        text=f"This mail could not be read whole; all of it is attached. Its beginning:\n\n{shown}",
        tier=inbound.mailbox.tier,
        priority=Priority(inbound.mailbox.priority),
        channel=Channel.EMAIL,
        automatic=True,
        files=[NewFile("message.eml", "message/rfc822", raw)],
    )


def drain(*, seconds: float = 60.0) -> int:
    """Apply what was stored and nobody works on, oldest first, until nothing is left; how many there were.

    Several at once share the work, each holding one message: what breaks one, or keeps it up, delays no other. Whoever
    dies lets go of it with its connection.
    """
    doorbell.heard(BELL)  # before looking: whoever stores from now on rings again
    until, done = time.monotonic() + seconds, 0
    broken: list[int] = []
    while time.monotonic() < until:
        waiting = InboundEmail.objects.filter(state=InboundState.STORED).exclude(pk__in=broken)
        ids = list(waiting.order_by("received_at").values_list("pk", flat=True)[:LOT])
        if len(ids) > 1 and not done:
            doorbell.ring_once("tickets.apply_mail", BELL)  # another slot may help
        held = 0
        for inbound_id in ids:
            with _held(inbound_id) as mine:
                if not mine:
                    continue
                held += 1
                try:
                    apply(inbound_id)
                    done += 1
                except reader.NotReady as error:  # no mail's fault, so it counts against none
                    InboundEmail.objects.filter(pk=inbound_id, attempts__gt=0).update(attempts=F("attempts") - 1)
                    log.error("mail waits: %s", error)
                    return done
                except Exception:
                    broken.append(inbound_id)
                    log.exception("mail %s is tried again later", inbound_id)
        if not held:
            break
    return done


@contextmanager
def _held(inbound_id: int) -> Iterator[bool]:
    """Hold a message while it is applied, unless another does: a lock of this connection, gone when that is."""
    key = (LOCK << 40) + inbound_id
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        mine = bool(cursor.fetchone()[0])
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
