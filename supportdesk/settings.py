"""Everything that can be set, read from the environment. `.env.example` lists the variables."""

import os
import secrets
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
import dj_email_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError, validate
from whitenoise.compress import Compressor

ROOT = Path(__file__).resolve().parent.parent
env = Env()
env.read_env(str(ROOT / ".env"), recurse=False)


def _read(reader: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """Read a variable with a typed reader; a wrong value names the variable and ends the start."""
    try:
        return reader(name, *args, **kwargs)
    except EnvError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def _kept_secret(name: str, make: Any) -> str:
    """Read a secret; development makes one on first use and keeps it in the data folder."""
    value = _read(env.str, name, "")
    if value or PRODUCTION:
        return str(value)
    path = DATA / name.removeprefix("DESK_").lower()
    try:
        DATA.mkdir(parents=True, exist_ok=True)
        if not path.exists() or not path.read_text().strip():
            # Whole or not at all, whoever is first: a full disk or a second process leaves no empty key.
            new = path.with_name(f"{path.name}.{os.getpid()}")
            new.touch(mode=0o600)
            new.write_text(make())
            new.replace(path)
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"DESK_DATA: cannot keep {path.name} in {DATA}: {error.strerror}") from None


def _embedded(name: str) -> str:
    """The address of an embedded server that `bin/run` started, for commands beside it."""
    path = DATA / "embedded.env"
    if not path.exists() or "DESK_STARTING" in os.environ:
        return ""
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return next((value for key, _, value in lines if key == name), "")


ENVIRONMENT = _read(env.str, "DESK_ENV", "development")
if ENVIRONMENT not in {"development", "production"}:
    raise ImproperlyConfigured(f"DESK_ENV: '{ENVIRONMENT}' is neither development nor production")
PRODUCTION = ENVIRONMENT == "production"
DATA = Path(_read(env.str, "DESK_DATA", str(ROOT / "var"))).resolve()
DEBUG = _read(env.bool, "DESK_DEBUG", False)
SECRET_KEY = _kept_secret("DESK_SECRET_KEY", lambda: secrets.token_urlsafe(64))
# Newest first; every key decrypts, the first encrypts.
ENCRYPTION_KEYS = [
    key for key in _kept_secret("DESK_ENCRYPTION_KEYS", lambda: secrets.token_urlsafe(32)).split(",") if key
]
BASE_URL = (
    _read(env.str, "DESK_BASE_URL", "") or ("" if PRODUCTION else _embedded("DESK_BASE_URL")) or "http://127.0.0.1:8000"
).rstrip("/")
ALLOWED_HOSTS = _read(env.list, "DESK_HOSTS", ["localhost", "127.0.0.1", "[::1]", ".localhost"])
DATABASE_URL = _read(env.str, "DATABASE_URL", "") or ("" if PRODUCTION else _embedded("DATABASE_URL"))
REDIS_URL = _read(env.str, "REDIS_URL", "") or ("" if PRODUCTION else _embedded("REDIS_URL"))
# Of bin/run and asgi.py: web processes, threads of each, and runs at the same time.
WEB_WORKERS = _read(env.int, "DESK_WEB_WORKERS", 2, validate=validate.Range(min=1, max=64))
WEB_THREADS = _read(env.int, "DESK_WEB_THREADS", 8, validate=validate.Range(min=1, max=200))
RUNBOOK_SLOTS = _read(env.int, "DESK_RUNBOOK_SLOTS", 4, validate=validate.Range(min=1, max=200))
# Days that a run's output is kept, and the run itself; 0 keeps it for ever.
RUN_OUTPUT_DAYS = _read(env.int, "DESK_RUN_OUTPUT_DAYS", 180, validate=validate.Range(min=0, max=36_500))
RUN_DAYS = _read(env.int, "DESK_RUN_DAYS", 0, validate=validate.Range(min=0, max=36_500))
METRICS_TOKEN = _read(env.str, "DESK_METRICS_TOKEN", "")
BEHIND_PROXY = _read(env.bool, "DESK_BEHIND_PROXY", False)

if PRODUCTION:
    _problems = [
        ("DESK_SECRET_KEY must be set, 50 characters or more", len(SECRET_KEY) < 50),
        ("DESK_ENCRYPTION_KEYS must be set", not ENCRYPTION_KEYS),
        (
            "DESK_HOSTS must name the hosts, without *",
            not os.environ.get("DESK_HOSTS") or "*" in ALLOWED_HOSTS or not ALLOWED_HOSTS,
        ),
        ("DESK_BASE_URL must be the public https:// address", not BASE_URL.startswith("https://")),
        ("DATABASE_URL must be set: the embedded PostgreSQL is for development", not DATABASE_URL),
        ("REDIS_URL must be set: the embedded Redis is for development", not REDIS_URL),
        ("DESK_DEBUG must be off", DEBUG),
    ]
    if _wrong := [text for text, bad in _problems if bad]:
        raise ImproperlyConfigured("DESK_ENV=production refuses to start: " + "; ".join(_wrong))

# ---------------------------------------------------------------- databases
try:
    DATABASES = {
        "default": dj_database_url.parse(
            DATABASE_URL or "postgres:///supportdesk", conn_max_age=None, conn_health_checks=True
        )
    }
except (dj_database_url.ParseError, dj_database_url.UnknownSchemeError, ValueError):
    raise ImproperlyConfigured(
        "DATABASE_URL: not a database address; write postgres://user:password@host:5432/name"
    ) from None
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured(
        "DATABASE_URL: Supportdesk needs PostgreSQL; write postgres://user:password@host:5432/name"
    )
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
DATABASES["default"]["OPTIONS"].setdefault("application_name", "supportdesk")
# A server that vanishes without a word is noticed within half a minute.
for _name, _value in {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}.items():
    DATABASES["default"]["OPTIONS"].setdefault(_name, _value)
if REDIS_URL and urlsplit(REDIS_URL).scheme not in {"redis", "rediss", "unix"}:
    raise ImproperlyConfigured("REDIS_URL: not a Redis address; write redis://:password@host:6379/0")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Sign-in limits live in the database, so that losing Redis locks nobody out and lets nobody in.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "supportdesk_cache"}}

# --------------------------------------------------------------------- apps
INSTALLED_APPS = [
    "supportdesk",
    "staff",
    "tickets",
    "runbooks",
    "knowledge",
    "workspace",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "csp",
    "django_htmx",
    "django_structlog",
    "django_filters",
    "knox",
    "anymail",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "staff.middleware.SignInMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "staff.middleware.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "staff.middleware.ReaderMiddleware",
    "supportdesk.errors.DomainErrorMiddleware",
]
ROOT_URLCONF = "supportdesk.urls"
ASGI_APPLICATION = "supportdesk.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "supportdesk.text.page",
                "tickets.queries.navigation",
            ],
            "builtins": ["supportdesk.templatetags.desk"],
        },
    }
]

# ----------------------------------------------------------------- accounts
AUTH_USER_MODEL = "staff.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/home/"
ACCOUNT_ADAPTER = "staff.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # nobody has the desk write to strangers
ACCOUNT_EMAIL_NOTIFICATIONS = True  # a changed password or second factor is told by mail
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True  # the way in past a lock-out, see staff.adapters
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_RATE_LIMITS = {
    # Failed sign-ins: `staff.adapters` says which of them a try counts against.
    "login": "120/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "login_failed_anywhere": "100/h/key",
    "login_failed_known": "10/5m/key",
    "reset_password": "20/m/ip",
    "reset_mail": "1/2m/key",
}
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if BEHIND_PROXY else 0
MFA_FORMS = {"authenticate": "staff.adapters.SecondFactorForm"}
MFA_ADAPTER = "staff.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses are given by an administrator
MFA_TOTP_ISSUER = "Supportdesk"
MFA_TOTP_TOLERANCE = 1
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
# Sign-in at the company's own OpenID Connect provider, for people whom the desk knows by that address.
OIDC_URL = _read(env.str, "DESK_OIDC_URL", "").rstrip("/")
OIDC_NAME = _read(env.str, "DESK_OIDC_NAME", "Single sign-on")
SOCIALACCOUNT_ADAPTER = "staff.adapters.ProviderAdapter"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = ""
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {}
if OIDC_URL:
    _client = _read(env.str, "DESK_OIDC_CLIENT_ID", "")
    if not _client or not OIDC_URL.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ImproperlyConfigured("DESK_OIDC_URL: must be https://, with DESK_OIDC_CLIENT_ID set beside it")
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": OIDC_NAME,
                "client_id": _client,
                "secret": _read(env.str, "DESK_OIDC_CLIENT_SECRET", ""),
                "settings": {"server_url": OIDC_URL},
            }
        ],
    }
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "desk_session", "desk_csrf"
CSRF_TRUSTED_ORIGINS = [BASE_URL]
CSRF_FAILURE_VIEW = "supportdesk.errors.csrf_failure"

# ----------------------------------------------------------------- security
SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_REFERRER_POLICY = "same-origin"
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        # A browser holds the answer to a form to this too, and signing in elsewhere begins with one.
        "form-action": [SELF, *(["{0.scheme}://{0.netloc}".format(urlsplit(OIDC_URL))] if OIDC_URL else [])],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}
# 25 MB is the largest mail that common servers carry. The API takes files in base64, a third longer.
MAX_UPLOAD_MB = _read(env.int, "DESK_MAX_UPLOAD_MB", 25, validate=validate.Range(min=1, max=1024))
MAX_FILES = _read(env.int, "DESK_MAX_FILES", 50, validate=validate.Range(min=1, max=200))
DATA_UPLOAD_MAX_MEMORY_SIZE = (MAX_UPLOAD_MB + 1) * 1024 * 1024 * 7 // 5

# ------------------------------------------------------- language, time, files
LANGUAGE_CODE, TIME_ZONE, USE_TZ, USE_I18N = "en-gb", "UTC", True, False
STATIC_URL, STATIC_ROOT, STATICFILES_DIRS = "/static/", DATA / "static", [ROOT / "static"]
MEDIA_ROOT = DATA / "files"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "supportdesk.statics.DeskStaticFilesStorage"},
}
# Attachments in S3, or in a server that speaks its API; served through the desk, which looks who may see them.
S3_BUCKET = _read(env.str, "DESK_S3_BUCKET", "")
if S3_BUCKET:
    STORAGES["default"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": _read(env.str, "DESK_S3_ENDPOINT", "") or None,
            "region_name": _read(env.str, "DESK_S3_REGION", "") or None,
            "access_key": _read(env.str, "DESK_S3_ACCESS_KEY", "") or None,
            "secret_key": _read(env.str, "DESK_S3_SECRET_KEY", "") or None,
            "addressing_style": "path",
            "signature_version": "s3v4",
            "default_acl": None,
            "file_overwrite": False,
        },
    }
WHITENOISE_MAX_AGE = 31_536_000
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")  # large, and asked for by nobody

# --------------------------------------------------------------------- mail
EMAIL_URL = _read(env.str, "EMAIL_URL", "") or f"file://{DATA / 'outbox'}"
MAIL_PROVIDERS = (
    "amazon_ses",
    "brevo",
    "mailersend",
    "mailgun",
    "mailjet",
    "mandrill",
    "postal",
    "postmark",
    "resend",
    "sendgrid",
    "sparkpost",
)
_provider = EMAIL_URL.removeprefix("anymail://").strip("/") if EMAIL_URL.startswith("anymail://") else ""
try:
    _mail = dj_email_url.parse(EMAIL_URL) if not _provider else {}
except ValueError:
    _mail = {}
if _provider in MAIL_PROVIDERS:
    _mail = {"EMAIL_BACKEND": f"anymail.backends.{_provider}.EmailBackend"}
if not _mail.get("EMAIL_BACKEND"):
    raise ImproperlyConfigured(
        "EMAIL_URL: not the address of a mail server; write smtp://user:password@host:587/?tls=True"
    )
vars().update({key: value for key, value in _mail.items() if value is not None})
if EMAIL_URL.startswith("file:"):
    EMAIL_FILE_PATH = "/" + str(globals()["EMAIL_FILE_PATH"]).lstrip("/")  # the parser drops the first slash
EMAIL_TIMEOUT = 10
MAIL_DOMAIN = _read(env.str, "DESK_MAIL_DOMAIN", urlsplit(BASE_URL).hostname or socket.gethostname())
DEFAULT_FROM_EMAIL = _read(env.str, "DESK_MAIL_FROM", "Support <support@example.com>")
# Providers (django-anymail): mail out by `EMAIL_URL=anymail://mailgun`, their webhooks for mail in; keys in ANYMAIL_….
# What a provider cannot do with a mail (such as data that is sent along) is no reason not to send it.
ANYMAIL = {"IGNORE_UNSUPPORTED_FEATURES": True} | {
    name.removeprefix("ANYMAIL_"): value for name, value in os.environ.items() if name.startswith("ANYMAIL_")
}
MAIL_HOOKS = _read(env.list, "DESK_MAIL_HOOKS", [])
if _unknown := sorted(set(MAIL_HOOKS) - set(MAIL_PROVIDERS)):
    raise ImproperlyConfigured(f"DESK_MAIL_HOOKS: {_unknown[0]} is none of {', '.join(MAIL_PROVIDERS)}")
if MAIL_HOOKS and not ANYMAIL.get("WEBHOOK_SECRET"):
    raise ImproperlyConfigured("DESK_MAIL_HOOKS: set ANYMAIL_WEBHOOK_SECRET=name:password too, else anybody could send")
# The relays (authserv-id) whose Authentication-Results about a sender are believed.
MAIL_TRUSTED_RELAYS = _read(env.list, "DESK_MAIL_TRUSTED_RELAYS", [])
# The listener: addresses and ports of SMTP and LMTP (0: none), its certificate for STARTTLS, the largest mail.
MAIL_LISTEN = _read(env.str, "DESK_MAIL_LISTEN", "127.0.0.1")
SMTP_PORT = _read(env.int, "DESK_SMTP_PORT", 2525, validate=validate.Range(min=0, max=65_535))
LMTP_PORT = _read(env.int, "DESK_LMTP_PORT", 0, validate=validate.Range(min=0, max=65_535))
MAIL_TLS_CERT, MAIL_TLS_KEY = _read(env.str, "DESK_MAIL_TLS_CERT", ""), _read(env.str, "DESK_MAIL_TLS_KEY", "")
if bool(MAIL_TLS_CERT) != bool(MAIL_TLS_KEY):
    raise ImproperlyConfigured("DESK_MAIL_TLS_CERT and DESK_MAIL_TLS_KEY: set both, the files of certificate and key")
MAIL_MAX_MB = _read(env.int, "DESK_MAIL_MAX_MB", 50, validate=validate.Range(min=1, max=500))

# ---------------------------------------------------------------------- API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "supportdesk.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_PAGINATION_CLASS": "supportdesk.paging.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_standardized_errors.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "supportdesk.api.ErrorHandler",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True,
}
# knox's own migrations would make a table for its own token model, which ours replaces.
MIGRATION_MODULES = {"knox": None}
KNOX_TOKEN_MODEL = "staff.ApiToken"  # noqa: S105 - the name of a model
REST_KNOX = {"TOKEN_TTL": None, "TOKEN_MODEL": "staff.ApiToken"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Supportdesk",
    "VERSION": "1",
    "DESCRIPTION": "Tickets, knowledge base and runbooks. Send `Authorization: Token …`; make one with `manage.py create_token`.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["drf_standardized_errors.openapi_hooks.postprocess_schema_enums"],
    "ENUM_NAME_OVERRIDES": {
        "TicketStatus": "tickets.models.Status",
        "TicketPriority": "tickets.models.Priority",
        "TicketChannel": "tickets.models.Channel",
        "ContactChannel": "tickets.api.serializers.CONTACT_CHANNELS",
        "JobState": "tickets.models.JobState",
        "RowOutcome": "tickets.models.RowOutcome",
        "FieldKind": "tickets.models.FieldKind",
        "RunState": "runbooks.models.RunState",
        "StepState": "runbooks.models.StepState",
        "MessageKind": "tickets.models.MessageKind",
        "ArticleKind": "knowledge.models.Kind",
        "RiskLevel": "runbooks.models.Risk",
        "ClientErrorEnum": "drf_standardized_errors.openapi_serializers.ClientErrorEnum.choices",
        "ServerErrorEnum": "drf_standardized_errors.openapi_serializers.ServerErrorEnum.choices",
        "ValidationErrorEnum": "drf_standardized_errors.openapi_serializers.ValidationErrorEnum.choices",
    },
}

# --------------------------------------------------------------------- work
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://") or "redis://127.0.0.1:6379/0"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # leases and outbox rows replace redelivery
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10.0
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "runbooks.run": {"queue": "runbooks"},
    "tickets.sweep_sla": {"queue": "sla"},
    "tickets.apply_mail": {"queue": "mail"},
}
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # Every row here is a sweep of due rows: missing one or running two is harmless.
    "SLA clocks that are due": {"task": "tickets.sweep_sla", "schedule": 2.0, "options": {"expires": 10}},
    "Outbox rows still pending": {
        "task": "supportdesk.sweep_outbox",
        "schedule": 5.0,
        "options": {"expires": 20},
    },
    "Mail received and not yet applied": {
        "task": "tickets.apply_mail",
        "schedule": 10.0,
        "options": {"expires": 30},
    },
    "Snoozes that are over, deadlines that have passed": {
        "task": "tickets.sweep_moments",
        "schedule": 10.0,
        "options": {"expires": 30},
    },
    "Recurring tickets that are due, and timed rules": {
        "task": "tickets.sweep_rules",
        "schedule": 30.0,
        "options": {"expires": 60},
    },
    "Reports that are due by mail, and figures that grew old": {
        "task": "workspace.sweep_reports",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "Notifications that are due by mail": {
        "task": "staff.sweep_notices",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "Closed tickets that no retention policy keeps": {
        "task": "tickets.sweep_retention",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "Background jobs that nobody works on": {
        "task": "tickets.sweep_jobs",
        "schedule": 10.0,
        "options": {"expires": 30},
    },
    "Runs queued, and leases that ran out": {
        "task": "runbooks.sweep",
        "schedule": 5.0,
        "options": {"expires": 20},
    },
    "Schedules that are due": {
        "task": "runbooks.schedules",
        "schedule": 5.0,
        "options": {"expires": 20},
    },
    "Output and runs that no retention keeps": {
        "task": "runbooks.retention",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "Canaries of every queue that a worker takes": {
        "task": "runbooks.canaries",
        "schedule": 10.0,
        "options": {"expires": 30},
    },
    "Canary of the worker for everything else": {
        "task": "supportdesk.canary",
        "schedule": 10.0,
        "args": ["default"],
        "options": {"expires": 30},
    },
}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA / "beat-schedule")

# ---------------------------------------------------------------------- logs
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_COMMAND_LOGGING_ENABLED = False
LOG_LEVEL = _read(env.str, "DESK_LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
    raise ImproperlyConfigured(f"DESK_LOG_LEVEL: '{LOG_LEVEL}' is not DEBUG, INFO, WARNING or ERROR")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "supportdesk.logs.formatter", "json": PRODUCTION}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django_structlog": {"level": "INFO" if PRODUCTION else "WARNING"},
        "httpx": {"level": "WARNING"},
        "flufl.bounce": {"level": "CRITICAL"},  # it tells of each form that a mail is not in
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
