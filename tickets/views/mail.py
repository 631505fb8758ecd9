"""Mail: its settings, what needs a look, what left, and the mail behind a message."""

from typing import Any
from urllib.parse import urlencode

from csp.decorators import csp_update
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from staff.policies import check_can_see_settings, check_is_administrator, is_administrator
from staff.queries import people_of_tiers
from staff.requests import DeskRequest
from supportdesk.errors import Conflict, Invalid, NotFound
from supportdesk.text import one_line
from tickets import forms, queries
from tickets.actions import mailboxes as acts
from tickets.forms import mail as mail_forms
from tickets.mail import attention as tending
from tickets.mail import incoming, sorting, wording
from tickets.models import LetterKind, Mailbox, MailRule, MailTemplate, Via
from tickets.policies import can_make_rules, check_can_make_rules, check_can_open
from tickets.queries import mail as found
from tickets.queries.queue import CappedPaginator
from tickets.views.tickets import done


def _mailbox(pk: int) -> Mailbox:
    mailbox = Mailbox.objects.select_related("tier", "imap").filter(pk=pk).first()
    if mailbox is None:
        raise NotFound("There is no such mailbox.")
    return mailbox


@require_GET
def index(request: DeskRequest) -> HttpResponse:
    check_can_see_settings(request.user)
    may_tend = can_make_rules(request.user)
    context = {
        "mailboxes": found.mailboxes(), "waiting": found.needing_a_look(request.user).count() if may_tend else 0,
        "may_edit": is_administrator(request.user), "may_tend": may_tend,
    }  # fmt: skip
    return render(request, "tickets/mail/index.html", context)


_BOX = ("name", "address", "display_name", "tier", "priority", "language", "reopen_days", "keeps_copies", "quotes_history", "trusts_organization", "active")  # fmt: skip


@require_http_methods(["GET", "POST"])
def mailbox(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """One mailbox: its settings, how it is fetched, what came last."""
    check_can_see_settings(request.user)
    box = _mailbox(pk) if pk else None
    initial = {name: getattr(box, name) for name in _BOX} if box else {}
    form = mail_forms.MailboxForm(request.POST or None, initial=initial)
    if box:
        form.fields["name"].disabled = True
    if request.method == "POST":
        check_is_administrator(request.user)
        if form.is_valid():
            try:
                saved = acts.save_mailbox(by=request.user, pk=pk, **form.cleaned_data)
                messages.success(request, "Saved.")
                return redirect("tickets:mailbox", saved.pk)
            except Invalid as refused:
                forms.refuse(form, refused)
    log = CappedPaginator(found.mailbox_log(box, request.user), 25).get_page(request.GET.get("page")) if box else None
    context = {"form": form, "box": box, "log": log, "may_edit": is_administrator(request.user)}
    return render(request, "tickets/mail/mailbox.html", context, status=422 if form.errors else 200)


_IMAP = ("host", "port", "security", "user", "login", "client_id", "tenant", "folder", "done_folder", "active")


@require_http_methods(["GET", "POST"])
def fetched(request: DeskRequest, pk: int) -> HttpResponse:
    """Where a mailbox is fetched from; *Test* saves nothing and changes nothing there."""
    check_can_see_settings(request.user)
    box = _mailbox(pk)
    account = getattr(box, "imap", None)
    form = mail_forms.ImapForm(
        request.POST or None, initial={name: getattr(account, name) for name in _IMAP} if account else {}
    )
    if request.method == "POST":
        check_is_administrator(request.user)
        if "remove" in request.POST:
            acts.remove_imap(by=request.user, mailbox=box)
            messages.success(request, "It is not fetched any more, and its secret is forgotten.")
            return redirect("tickets:mailbox", pk)
        if form.is_valid():
            try:
                acts.save_imap(by=request.user, mailbox=box, **form.cleaned_data)
                messages.success(request, "Saved.")
                return redirect("tickets:fetched", pk)
            except Invalid as refused:
                forms.refuse(form, refused)
    context = {
        "form": form, "box": box, "account": account, "may_edit": is_administrator(request.user),
        "comes_back_to": acts.comes_back_to(),
    }  # fmt: skip
    return render(request, "tickets/mail/fetched.html", context, status=422 if form.errors else 200)


_SIGNING_IN = "imap_sign_in"


@require_GET
def sign_in(request: DeskRequest, pk: int) -> HttpResponse:
    """To the provider of a mailbox, and back to `signed_in`."""
    begun = acts.begin_sign_in(by=request.user, mailbox=_mailbox(pk))
    request.session[_SIGNING_IN] = {"state": begun.state, "verifier": begun.verifier, "mailbox": pk}
    return redirect(begun.url)


@require_GET
def signed_in(request: DeskRequest) -> HttpResponse:
    """Back from a provider, with a code or its refusal."""
    check_is_administrator(request.user)
    begun = request.session.pop(_SIGNING_IN, None)
    if begun is None or not constant_time_compare(begun["state"], request.GET.get("state", "")):
        raise Conflict(
            "This sign-in was not begun in this browser, or has ended. Begin it again on the page of the mailbox."
        )
    box = _mailbox(begun["mailbox"])
    if code := request.GET.get("code", ""):
        try:
            acts.finish_sign_in(by=request.user, mailbox=box, code=code, verifier=begun["verifier"])
            messages.success(request, "Signed in. The mailbox is fetched from now on.")
        except Conflict as refused:
            messages.error(request, str(refused))
    else:
        said = request.GET.get("error_description", "") or request.GET.get("error", "")
        messages.error(
            request, f"The provider did not let the desk in: {one_line(said, most=300) or 'no reason given'}"
        )
    return redirect("tickets:fetched", box.pk)


@require_POST
def try_fetching(request: DeskRequest, pk: int) -> HttpResponse:
    """Sign in as the fetcher does, and say what was found."""
    box = _mailbox(pk)
    try:
        said, ok = acts.try_imap(by=request.user, mailbox=box), True
    except Conflict as refused:
        said, ok = str(refused), False
    if request.htmx:
        return render(request, "tickets/mail/_tried.html", {"said": said, "ok": ok})
    (messages.success if ok else messages.error)(request, said)
    return redirect("tickets:fetched", pk)


# ------------------------------------------------------------------------------ templates and rules
@require_GET
def templates(request: DeskRequest) -> HttpResponse:
    """Every template; `kind`, `language` and `mailbox` lead to one, also to one that nobody wrote yet."""
    check_can_see_settings(request.user)
    if kind := request.GET.get("kind", ""):
        if kind not in [one.value for one in wording.KINDS]:
            raise NotFound("There is no such template.")
        asked = urlencode({name: request.GET.get(name, "") for name in ("language", "mailbox")})
        return redirect(f"{reverse('tickets:mail_template', args=[kind])}?{asked}")
    context = {
        "rows": found.templates(), "languages": wording.LANGUAGES, "mailboxes": Mailbox.objects.all(), "kinds": [(k.value, k.label) for k in wording.KINDS],
        "may_edit": can_make_rules(request.user),
    }  # fmt: skip
    return render(request, "tickets/mail/templates.html", context)


@require_http_methods(["GET", "POST"])
def template(request: DeskRequest, kind: str) -> HttpResponse:
    """One template, with a preview as it would arrive."""
    check_can_see_settings(request.user)
    language = request.GET.get("language", "en")
    chosen = request.GET.get("mailbox", "")
    box = _mailbox(forms.ticket_number(request.GET, "mailbox")) if chosen else None
    if kind not in [one.value for one in wording.KINDS] or language not in dict(wording.LANGUAGES):
        raise NotFound("There is no such template.")
    own = MailTemplate.objects.filter(kind=kind, language=language, mailbox=box).first()
    words = wording.wording(kind, box, language)
    form = mail_forms.TemplateForm(
        request.POST or None, initial={"subject": words.subject, "text": words.text, "active": words.active}
    )
    if kind != LetterKind.RECEIVED and kind != LetterKind.RESOLVED:
        del form.fields["active"]  # a reply that somebody writes is sent
    if request.method == "POST":
        check_can_make_rules(request.user)
        if "reset" in request.POST:
            acts.reset_template(by=request.user, kind=kind, language=language, mailbox=box)
            messages.success(request, "Back to the words that the desk comes with.")
            return redirect("tickets:mail_templates")
        if form.is_valid():
            try:
                wording.check(kind, form.cleaned_data["subject"], form.cleaned_data["text"])
                if "preview" not in request.POST:
                    acts.save_template(by=request.user, kind=kind, language=language, mailbox=box, **form.cleaned_data)
                    messages.success(request, "Saved.")
                    return redirect("tickets:mail_templates")
            except Invalid as refused:
                forms.refuse(form, refused)
    typed = {name: form[name].value() or "" for name in ("subject", "text")}
    context = {
        "form": form, "kind": LetterKind(kind).label, "own": own, "language": dict(wording.LANGUAGES)[language], "box": box,
        "names": wording.names_for(kind), "preview": found.template_preview(kind, box, **typed),
        "may_edit": can_make_rules(request.user),
    }  # fmt: skip
    return render(request, "tickets/mail/template.html", context, status=422 if form.errors else 200)


@require_GET
def rules(request: DeskRequest) -> HttpResponse:
    check_can_see_settings(request.user)
    return render(
        request, "tickets/mail/rules.html", {"rules": found.mail_rules(), "may_edit": can_make_rules(request.user)}
    )


_RULE = ("name", "position", "mailbox", "spam", "tier", "stops", "active")


@require_http_methods(["GET", "POST"])
def rule(request: DeskRequest, pk: int | None = None) -> HttpResponse:
    """One rule on mail; *Dry run* says which past mail it would pick, before or after saving."""
    check_can_see_settings(request.user)
    kept = MailRule.objects.filter(pk=pk).first() if pk else None
    if pk and kept is None:
        raise NotFound("There is no such rule.")
    initial: dict[str, Any] = {}
    if kept:
        initial = {name: getattr(kept, name) for name in _RULE} | {"conditions": sorting.written(kept.conditions)}
        initial |= forms.as_form(kept.recipe)
    form = mail_forms.MailRuleForm(request.POST or None, initial=initial, people=people_of_tiers())
    trial = None
    if request.method == "POST":
        check_can_make_rules(request.user)
        if form.is_valid():
            try:
                given = {name: form.cleaned_data[name] for name in (*_RULE, "conditions")}
                recipe = form.read({k: v for k, v in form.cleaned_data.items() if k not in given})
                if "dry-run" in request.POST:
                    trial = found.try_rule(acts.fill_rule(MailRule(pk=pk), recipe=recipe, **given), request.user)
                else:
                    acts.save_mail_rule(by=request.user, pk=pk, recipe=recipe, **given)
                    messages.success(request, "Saved.")
                    return redirect("tickets:mail_rules")
            except Invalid as refused:
                forms.refuse(form, refused)
    context = {"form": form, "rule": kept, "trial": trial, "may_edit": can_make_rules(request.user)}
    return render(request, "tickets/mail/rule.html", context, status=422 if form.errors else 200)


@require_POST
def delete_rule(request: DeskRequest, pk: int) -> HttpResponse:
    acts.delete_mail_rule(by=request.user, pk=pk)
    messages.success(request, "The rule is gone.")
    return redirect("tickets:mail_rules")


# --------------------------------------------------------------------------------- what needs a look
@require_GET
def attention(request: DeskRequest) -> HttpResponse:
    page = Paginator(found.needing_a_look(request.user), 25).get_page(request.GET.get("page"))
    return render(request, "tickets/mail/attention.html", {"page": page})


@require_POST
def retry(request: DeskRequest, pk: int) -> HttpResponse:
    try:
        outcome = tending.retry(inbound_id=pk, by=request.user)
        messages.success(request, f"It could be read: see ticket {outcome.ticket}.")
    except Conflict as refused:
        messages.error(request, str(refused))
    return redirect("tickets:attention")


@require_POST
def dismiss(request: DeskRequest, pk: int) -> HttpResponse:
    tending.dismiss(inbound_id=pk, by=request.user)
    messages.success(request, "Taken off the list; its ticket stays.")
    return redirect("tickets:attention")


@require_GET
def raw(request: DeskRequest, pk: int) -> HttpResponse:
    """A mail that needs a look, as it came."""
    mail = tending.needing_a_look(request.user).filter(pk=pk).first()
    if mail is None:
        raise NotFound("There is no such mail.")
    return eml(bytes(mail.raw), f"mail-{pk}.eml")


def eml(content: bytes, name: str) -> HttpResponse:
    """A raw mail, to download and never to render."""
    return HttpResponse(
        content, content_type="message/rfc822", headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
def upload(request: DeskRequest) -> HttpResponse:
    """Take in a mail from a file, as if it had come by itself."""
    check_can_open(request.user)
    form = mail_forms.UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            envelope = incoming.Envelope(Via.UPLOAD, "", [], f"uploaded by {request.user.email}")
            outcome = incoming.take_upload(
                form.cleaned_data["file"].read(), mailbox=form.cleaned_data["mailbox"], envelope=envelope
            )
            return _uploaded(request, outcome)
        except Invalid as refused:
            form.add_error("file", str(refused))
    return render(request, "tickets/mail/upload.html", {"form": form}, status=422 if form.is_bound else 200)


def _uploaded(request: DeskRequest, outcome: incoming.Outcome) -> HttpResponse:
    said = {
        "ticket": "A ticket was opened.", "reply": "It was added to its ticket.", "duplicate": "This mail is here already.",
        "bounce": "It is a report that mail did not arrive.", "auto_reply": "It is an automatic answer and moved nothing.",
    }  # fmt: skip
    messages.success(
        request, said.get(outcome.outcome, f"It was not taken: {outcome.reason}" if outcome.reason else "It is stored.")
    )
    seen = outcome.ticket and queries.can_see(request.user, outcome.ticket)
    return redirect("tickets:detail", outcome.ticket) if seen else redirect("tickets:queue")


# -------------------------------------------------------------------------------- of one ticket
@require_GET
def details(request: DeskRequest, number: int, pk: int) -> HttpResponse:
    """How a message came: envelope, checks, copies, headers."""
    ticket = queries.ticket_for(request.user, number)
    context = {
        "ticket": ticket,
        "mail": found.mail_of(ticket, pk, request.user),
        "back": reverse("tickets:detail", args=[number]),
    }
    return render(request, "tickets/mail/details.html", context)


@require_GET
def raw_of_message(request: DeskRequest, number: int, pk: int) -> HttpResponse:
    """The mail behind a message, as it came."""
    ticket = queries.ticket_for(request.user, number)
    messages_ = queries.readable(ticket, request.user)
    message = messages_.filter(pk=pk, inbound__isnull=False).select_related("inbound").first()
    if message is None:
        raise NotFound("This message did not come by mail.")
    return eml(bytes(message.inbound.raw), f"ticket-{number}-{pk}.eml")


@csp_update({"img-src": ["https:", "http:"]})  # type: ignore[arg-type]
@require_GET
def remote(request: DeskRequest, number: int, pk: int) -> HttpResponse:
    """A message with the pictures that it loads from elsewhere, for a reader who asked for them."""
    ticket = queries.ticket_for(request.user, number)
    message = queries.readable(ticket, request.user).filter(pk=pk).first()
    if message is None:
        raise NotFound("There is no such message on this ticket.")
    context = {"ticket": ticket, "message": message, "html": found.html_with_pictures(message)}
    response = render(request, "tickets/mail/remote.html", context)
    response["Referrer-Policy"] = "no-referrer"
    return response


@require_POST
def again(request: DeskRequest, number: int, pk: int) -> HttpResponse:
    mail = acts.send_again(number=number, by=request.user, message=pk)
    return done(request, number, f"It is sent to {mail.to} again.")


STATES = (("", "All replies"), ("queued", "Waiting"), ("sent", "Sent"), ("bounced", "Did not arrive"), ("desk", "Letters of the desk"))  # fmt: skip


@require_GET
def outgoing(request: DeskRequest) -> HttpResponse:
    """Mail that left or waits, for administrators."""
    check_is_administrator(request.user)
    state = request.GET.get("state", "")
    page = CappedPaginator(found.outgoing(state), 50).get_page(request.GET.get("page"))
    return render(request, "tickets/outgoing.html", {"page": page, "state": state, "states": STATES})


@require_GET
def sent(request: DeskRequest, pk: int) -> HttpResponse:
    """One mail as it leaves: template, signature and all."""
    check_is_administrator(request.user)
    mail, html = found.as_sent(pk)
    return render(request, "tickets/mail/sent.html", {"mail": mail, "html": html})


@require_http_methods(["GET", "POST"])
def rate(request: DeskRequest, number: int, signature: str) -> HttpResponse:
    """A requester says how it was. Opening the link changes nothing: mail scanners open links."""
    ticket = acts.rated_ticket(number=number, signature=signature)
    rated = getattr(ticket, "rating", None)
    if request.method == "POST":
        rated = acts.rate(
            number=number, signature=signature, score=request.POST.get("score", ""), comment=request.POST.get("comment", "")
        )  # fmt: skip
    chosen = rated.score if rated and request.method == "POST" else request.GET.get("score", "")
    context = {"ticket": ticket, "score": chosen, "rated": rated, "thanks": request.method == "POST"}
    return render(request, "tickets/mail/rate.html", context)
