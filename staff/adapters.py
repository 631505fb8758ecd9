"""How allauth behaves here."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from staff.models import Role


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up; an integration has tokens and no browser session."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        user = super().authenticate(request, **credentials)
        return None if user is not None and user.role == Role.INTEGRATION else user
