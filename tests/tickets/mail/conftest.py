"""Real mail servers on loopback: our listener, a Dovecot, and a server that takes what the desk sends."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

from supportdesk import guide
from tickets.mail.listener import Listener


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for_port(port, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture
def boxes(transactional_db):
    """The guide's mailboxes, in a database that commits."""
    guide.load()


@contextmanager
def listening():
    """Our listener in a thread of its own: (SMTP port, LMTP port)."""
    smtp, lmtp = free_port(), free_port()
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve():
        listener = Listener(host="127.0.0.1", smtp_port=smtp, lmtp_port=lmtp)
        await listener.start()
        ready.set()
        await stop.wait()
        await listener.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield smtp, lmtp
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


@pytest.fixture
def listener(boxes):
    with listening() as ports:
        yield ports


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

    def __init__(self, program, folder):
        self.program, self.folder, self.port = program, folder, free_port()
        owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        found = pwd.getpwnam(owner)
        import grp

        for name in ("run", "mail"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "mail").chmod(0o777)
        os.chown(folder / "mail", found.pw_uid, found.pw_gid) if os.geteuid() == 0 else None
        self.introspection = free_port()
        (folder / "oauth2.conf").write_text(
            f"introspection_mode = post\nintrospection_url = http://127.0.0.1:{self.introspection}/\nusername_attribute = email\n"
        )
        group = grp.getgrgid(found.pw_gid).gr_name
        (folder / "dovecot.conf").write_text(
            CONFIG.format(folder=folder, user=owner, group=group, uid=found.pw_uid, gid=found.pw_gid, port=self.port)
        )
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "-F", "-c", str(self.folder / "dovecot.conf")], stderr=subprocess.DEVNULL
        )
        wait_for_port(self.port)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def put(self, user, *raws):
        """Deliver messages as another program would: over IMAP."""
        import imaplib

        with imaplib.IMAP4("127.0.0.1", self.port) as client:
            client.login(user, "secret")
            for raw in raws:
                state, said = client.append("INBOX", None, None, raw)
                assert state == "OK", said

    def count(self, user, folder="INBOX"):
        import imaplib

        with imaplib.IMAP4("127.0.0.1", self.port) as client:
            client.login(user, "secret")
            _, data = client.select(folder, readonly=True)
            return int(data[0])


@pytest.fixture(scope="session")
def dovecot(tmp_path_factory):
    program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        if os.environ.get("REQUIRE_REAL"):
            pytest.fail("dovecot is not installed")
        pytest.skip("dovecot is not installed")
    folder = tmp_path_factory.mktemp("dovecot")
    for parent in [folder, *folder.parents][:4]:
        if str(parent).startswith("/tmp/") and os.geteuid() == 0:
            parent.chmod(0o755)  # its own users must reach it
    server = Dovecot(program, folder)
    server.start()
    yield server
    server.stop()
