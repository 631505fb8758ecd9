"""Writes to the knowledge base."""

import hashlib
import re

from django.db import transaction
from django.utils import timezone

from knowledge import source
from knowledge.models import Article, ArticleState, Diagnosis, Fix, Revision, Word
from runbooks.models import Runbook
from staff.models import User
from supportdesk.errors import Invalid
from tickets.models import Category

_WORD = re.compile(r"[a-z][a-z0-9]{2,59}")


@transaction.atomic
def load_article(*, text: str, name: str, by: User | None = None) -> Article:
    """Publish an article from a file; the same text again changes nothing, a new one adds a revision."""
    parsed = source.parse(text, name=name)
    category = Category.objects.filter(slug=parsed.category).first()
    if category is None:
        known = ", ".join(Category.objects.values_list("slug", flat=True))
        raise Invalid(f"{name}: category: there is no {parsed.category}; the categories are {known}")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    article = Article.objects.select_for_update().filter(slug=parsed.slug).first()
    newest = article.revisions.first() if article else None
    if article and newest and newest.sha256 == sha256:
        return article
    runbooks = _runbooks(parsed, name)
    now = timezone.now()
    article, _ = Article.objects.update_or_create(
        slug=parsed.slug,
        defaults={
            "title": parsed.title,
            "kind": parsed.kind,
            "state": ArticleState.PUBLISHED,
            "category": category,
            "tier_level": parsed.tier,
            "summary": parsed.summary,
            "symptoms": "\n".join(parsed.symptoms),
            "search_text": _search_text(parsed),
            "updated_at": now,
            "published_at": article.published_at if article and article.published_at else now,
        },
    )
    Revision.objects.create(
        article=article, number=newest.number + 1 if newest else 1, source=text, sha256=sha256, author=by
    )
    article.diagnoses.all().delete()
    article.fixes.all().delete()
    Diagnosis.objects.bulk_create(
        Diagnosis(
            article=article,
            position=n,
            title=d.title,
            language=d.language,
            command=d.code,
            runbook=runbooks.get(d.runbook or ""),
        )
        for n, d in enumerate(parsed.diagnosis, 1)
    )
    Fix.objects.bulk_create(
        Fix(
            article=article,
            position=n,
            title=fix.title,
            text=fix.text,
            commands=[command.model_dump() for command in fix.commands],
            risk=fix.risk,
            runbook=runbooks.get(fix.runbook or ""),
        )
        for n, fix in enumerate(parsed.fixes, 1)
    )
    words = set(_WORD.findall(" ".join([parsed.title, parsed.summary, *parsed.symptoms, _search_text(parsed)]).lower()))
    Word.objects.bulk_create([Word(text=word) for word in sorted(words)], ignore_conflicts=True)
    return article


def _runbooks(parsed: source.ArticleSource, name: str) -> dict[str, Runbook]:
    """The runbooks that the article names; one that does not exist is an error, not a dead button."""
    named = {d.runbook for d in parsed.diagnosis if d.runbook} | {fix.runbook for fix in parsed.fixes if fix.runbook}
    found = {runbook.slug: runbook for runbook in Runbook.objects.filter(slug__in=named)}
    if missing := sorted(named - set(found)):
        raise Invalid(f"{name}: there is no runbook {', '.join(missing)}")
    return found


def _search_text(parsed: source.ArticleSource) -> str:
    parts = [d.title + "\n" + d.code for d in parsed.diagnosis]
    parts += ["\n".join([fix.title, fix.text, *(command.code for command in fix.commands)]) for fix in parsed.fixes]
    return "\n".join(parts)
