"""Pages and fragments of the knowledge base."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET

from knowledge import queries
from staff.requests import DeskRequest
from supportdesk.text import number_of
from tickets.queries import ticket_for

MOST_PICKED = 12


@require_GET
def search(request: DeskRequest) -> HttpResponse:
    """Search, or all articles by category; htmx gets the results alone."""
    context = {"results": queries.search(request.user, request.GET.get("q", "")), "ticket": _ticket(request)}
    fragment = request.htmx and not request.htmx.history_restore_request
    response = render(request, "knowledge/_results.html" if fragment else "knowledge/search.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_GET
def article(request: DeskRequest, slug: str) -> HttpResponse:
    """An article; with `?ticket=1042` its runbooks run for that ticket."""
    context = {"page": queries.article(request.user, slug), "ticket": _ticket(request)}
    return render(request, "knowledge/article.html", context)


@require_GET
def for_ticket(request: DeskRequest, number: int) -> HttpResponse:
    """The best three articles for a ticket, as its panel; as a page of its own without JavaScript."""
    ticket = ticket_for(request.user, number)
    context = {"ticket": ticket, "articles": queries.suggestions(request.user, ticket)}
    return render(request, "knowledge/_for_ticket.html" if request.htmx else "knowledge/for_ticket.html", context)


@require_GET
def pick(request: DeskRequest) -> HttpResponse:
    """Articles to take into a message, as options of the composer's list: those that fit the ticket, or a search."""
    text, number = request.GET.get("q", "").strip(), _ticket(request)
    if text or number is None:
        articles = queries.search(request.user, text).articles[:MOST_PICKED]
    else:
        articles = queries.suggestions(request.user, ticket_for(request.user, number))
    return render(request, "knowledge/_pick.html", {"articles": articles, "base": settings.BASE_URL})


def _ticket(request: DeskRequest) -> int | None:
    return number_of(request.GET.get("ticket", ""))
