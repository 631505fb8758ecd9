"""The project, and the small kernel that every app may use."""

from supportdesk.celery import app as celery_app

__all__ = ["celery_app"]
