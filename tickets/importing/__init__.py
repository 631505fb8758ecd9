"""Tickets of other systems: files to one shape. Pure; `tickets.actions.imports` writes them."""

from tickets.importing.csv_file import read_csv
from tickets.importing.django_helpdesk import read_django_helpdesk
from tickets.importing.shape import OldFile, OldMessage, OldTicket, Unreadable
from tickets.importing.zammad import read_zammad

READERS = {"csv": read_csv, "django-helpdesk": read_django_helpdesk, "zammad": read_zammad}

__all__ = ["READERS", "OldFile", "OldMessage", "OldTicket", "Unreadable"]
