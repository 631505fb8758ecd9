"""Who a token speaks for: in a module of its own, which REST framework loads before the rest of itself."""

from typing import Any

import knox.auth
from django.utils import timezone


class TokenAuthentication(knox.auth.TokenAuthentication):
    """Tokens of staff and integrations; a request does not go through its owner's other tokens for old ones."""

    def _cleanup_token(self, auth_token: Any) -> bool:
        return auth_token.expiry is not None and auth_token.expiry < timezone.now()
