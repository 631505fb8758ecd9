"""The ways in to a system: what a target's named connections may say. A password is `{secret: NAME}`, never text."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from runbooks.definition.scalars import Name, Strict
from supportdesk.errors import Invalid

Folder = Annotated[str, Field(pattern=r"^/[^\x00\n]*$", max_length=400)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./:-][A-Za-z0-9_.:%/-]*$", max_length=255)]


class SecretName(Strict):
    """Stands for a secret of the target, which is given apart."""

    secret: Annotated[str, Field(pattern=r"^[-a-zA-Z0-9_]+$", max_length=50)]


class Host(Strict):
    """A machine: this one, or one over the system's ssh with its host key pinned."""

    type: Literal["host"] = "host"
    via: Literal["local", "ssh"] = "local"
    address: HostName | None = None
    port: int = Field(default=22, ge=1, le=65535)
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$", max_length=32)] | None = None
    host_key: str | None = Field(default=None, description="As ssh-keyscan prints it: ssh-ed25519 AAAA…")
    key: SecretName | None = Field(default=None, description="The private key, a secret.")

    @model_validator(mode="after")
    def _whole(self) -> "Host":
        if self.via == "ssh":
            lacking = [name for name in ("address", "user", "host_key", "key") if getattr(self, name) is None]
            if lacking:
                raise ValueError(f"a host over ssh needs {', '.join(lacking)}")
        return self

    @field_validator("host_key")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        parts = (value or "").split()
        if value is not None and (len(parts) < 2 or not parts[0].startswith(("ssh-", "ecdsa-", "sk-"))):
            raise ValueError("write the key's type and its base64 text, as ssh-keyscan prints them after the host")
        return " ".join(parts[:2]) if value else None


class Postgres(Strict):
    """A PostgreSQL database."""

    type: Literal["postgres"] = "postgres"
    host: HostName
    port: int = Field(default=5432, ge=1, le=65535)
    dbname: str = Field(min_length=1, max_length=63)
    user: str = Field(min_length=1, max_length=63)
    password: SecretName | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"


class Redis(Strict):
    """A Redis server."""

    type: Literal["redis"] = "redis"
    host: HostName | None = None
    port: int = Field(default=6379, ge=1, le=65535)
    socket: Folder | None = None
    db: int = Field(default=0, ge=0, le=1000)
    username: str | None = None
    password: SecretName | None = None
    tls: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> "Redis":
        if (self.host is None) == (self.socket is None):
            raise ValueError("give host or socket, one of them")
        return self


class Http(Strict):
    """A web service below one address. Loopback and private addresses only where it says so."""

    type: Literal["http"] = "http"
    base_url: str = Field(max_length=400)
    token: SecretName | None = Field(default=None, description="Sent as Authorization: Bearer.")
    private: bool = Field(default=False, description="Whether it may be on a loopback or private address.")
    ca_file: Folder | None = None

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise ValueError("write an address such as https://api.example.com, without user and query")
        return value.rstrip("/")


class Services(Strict):
    """What keeps the processes of a system running."""

    type: Literal["services"] = "services"
    manager: Literal["pm2", "systemd", "docker-compose", "supervisor"]
    host: str = Field(default="host", description="The connection whose machine it runs on.")
    allowed: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@:-]*$", max_length=80)]] = Field(min_length=1)
    config: Folder | None = Field(default=None, description="supervisord.conf, or docker-compose.yml.")
    home: Folder | None = Field(default=None, description="PM2_HOME.")
    program: Folder | None = Field(default=None, description="The full path of pm2, supervisorctl and so on.")


class Paths(Strict):
    """Named folders, for the steps `shell`, `files` and `logs`."""

    type: Literal["paths"] = "paths"
    folders: dict[Name, Folder] = {}


KINDS: dict[str, type[Strict]] = {
    "host": Host, "postgres": Postgres, "redis": Redis, "http": Http, "services": Services, "paths": Paths,
}  # fmt: skip


def check(connections: Mapping[str, Any]) -> dict[str, Any]:
    """The connections of a target as they are stored, each with its type; `Invalid` names what is wrong."""
    wrong: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    for name, values in connections.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", str(name)):
            wrong[str(name)] = ["Its name is lower case letters, digits, - and _."]
            continue
        if not isinstance(values, Mapping):
            wrong[name] = ["It must be a mapping."]
            continue
        kind = values.get("type", name)
        if not isinstance(kind, str) or kind not in KINDS:
            wrong[name] = [f"Say its type, one of {', '.join(KINDS)}."]
            continue
        values = dict(values)
        if kind == "paths" and "folders" not in values:  # the short form: paths by name
            values = {"folders": {key: value for key, value in values.items() if key != "type"}}
        if isinstance(values.get("password"), str):
            wrong[name] = ["Write password: {secret: NAME} and give the secret apart."]
            continue
        try:
            model = KINDS[kind].model_validate(values | {"type": kind})
        except ValidationError as error:
            wrong[name] = [
                f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}".lstrip(
                    ": "
                )
                for problem in error.errors()
            ]
            continue
        found[name] = model.model_dump(mode="json", exclude_none=True)
    if wrong:
        words = "; ".join(f"connection {name}: {' '.join(texts)}" for name, texts in wrong.items())
        raise Invalid(f"{words[:1].upper()}{words[1:]}", fields={"connections": [words]})
    return found


def secrets_of(connection: Mapping[str, Any]) -> set[str]:
    """The names of the secrets that a connection uses."""
    return {value["secret"] for value in connection.values() if isinstance(value, Mapping) and "secret" in value}
