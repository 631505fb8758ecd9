"""The Celery application and the kernel's own tasks."""

import os
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supportdesk.settings")

# In containers root is the usual account; messages are JSON, so the danger that Celery warns of is not there.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("supportdesk")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


@setup_logging.connect
def keep_the_logs_of_django(**kwargs: object) -> None:
    """Celery leaves logging alone once this signal has a receiver."""


@app.task(name="supportdesk.deliver")
def deliver(item_id: int) -> None:
    from supportdesk import outbox

    outbox.deliver(item_id)


@app.task(name="supportdesk.sweep_outbox")
def sweep_outbox() -> None:
    from supportdesk import outbox

    outbox.sweep()


@app.task(name="supportdesk.canary")
def canary(queue: str) -> None:
    from django.utils import timezone

    from supportdesk.models import WorkerSeen

    WorkerSeen.objects.update_or_create(queue=queue, defaults={"seen_at": timezone.now()})
