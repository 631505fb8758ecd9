"""A real Dovecot on loopback, for measuring and for tests."""

import grp
import imaplib
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

from supportdesk.embedded.servers import free_port


def wait_for_port(port: int, seconds: float = 20.0) -> None:
    """Wait until something listens there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
log_path = {folder}/log
mail_location = maildir:{folder}/mail/%u
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
first_valid_uid = 0
first_valid_gid = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  mailbox Done {{
    auto = create
  }}
}}
"""


class Dovecot:
    """A real Dovecot with one folder of mail a user; the password is `secret`."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder, self.port = program, folder, free_port()
        owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        found = pwd.getpwnam(owner)
        for name in ("run", "mail"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "mail").chmod(0o777)
        if os.geteuid() == 0:
            os.chown(folder / "mail", found.pw_uid, found.pw_gid)
        self.introspection = free_port()
        (folder / "oauth2.conf").write_text(
            f"introspection_mode = post\nintrospection_url = http://127.0.0.1:{self.introspection}/\nusername_attribute = email\n"
        )
        group = grp.getgrgid(found.pw_gid).gr_name
        (folder / "dovecot.conf").write_text(
            CONFIG.format(folder=folder, user=owner, group=group, uid=found.pw_uid, gid=found.pw_gid, port=self.port)
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.program, "-F", "-c", str(self.folder / "dovecot.conf")], stderr=subprocess.DEVNULL
        )
        wait_for_port(self.port)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def put(self, user: str, *raws: bytes) -> None:
        """Deliver messages as another program would: over IMAP."""
        with imaplib.IMAP4("127.0.0.1", self.port) as client:
            client.login(user, "secret")
            for raw in raws:
                state, said = client.append("INBOX", None, None, raw)
                if state != "OK":
                    raise imaplib.IMAP4.error(str(said))

    def count(self, user: str, folder: str = "INBOX") -> int:
        with imaplib.IMAP4("127.0.0.1", self.port) as client:
            client.login(user, "secret")
            _, data = client.select(folder, readonly=True)
            return int(data[0] or 0)


def program() -> str | None:
    """Where Dovecot is installed; None where it is not."""
    return shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
