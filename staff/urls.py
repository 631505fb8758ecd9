"""Notifications, one's own settings, the audit; sign in and out through allauth (signing up is closed: no pages of it)."""

from allauth.account import views
from allauth.socialaccount import views as social
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path, re_path

from staff.views import notices, own, security

accounts = [
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("password/change/", views.password_change, name="account_change_password"),
    path("password/reset/", views.password_reset, name="account_reset_password"),
    path("password/reset/done/", views.password_reset_done, name="account_reset_password_done"),
    # The key has a dash of its own, so the first part must have none.
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path("inactive/", login_not_required(views.account_inactive), name="account_inactive"),
]
accounts += [
    path("security/", security.index, name="mfa_index"),
    path("security/sessions/end/", security.end, name="end_sessions"),
    path("security/", include("allauth.mfa.urls")),
    path("", include("allauth.socialaccount.providers.openid_connect.urls")),
    path("oidc/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("oidc/error/", social.login_error, name="socialaccount_login_error"),
]
urlpatterns = [
    path("accounts/", include(accounts)),
    path("notifications/", notices.notifications, name="notifications"),
    path("notifications/fresh/", notices.fresh, name="fresh_notices"),
    path("notifications/read/", notices.read, name="read_notices"),
    path("notifications/mute/", notices.mute, name="mute"),
    path("notifications/mute/<str:token>/", notices.mute_by_mail, name="mute_by_mail"),
    path("notifications/settings/", notices.choose, name="notice_settings"),
    path("notifications/test/", notices.try_out, name="try_notice"),
    path("notifications/<int:pk>/", notices.go, name="notice"),
    path("me/", own.me, name="me"),
    path("audit/", own.audit, name="audit"),
]
