"""Files: their limits, what is said of dangerous ones, how they are served, and storage in S3."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from staff.actions import create_token
from tests.factories import ticket
from tickets import actions
from tickets.actions._messages import NewFile
from tickets.files import danger_of
from tickets.models import Attachment

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("report.pdf", b"%PDF-1.7", ""),
        ("photo.jpg", b"\xff\xd8\xff", ""),
        ("notes", b"plain", ""),
        ("setup.exe", b"MZ", "a program"),
        ("invoice.pdf.exe", b"x", "a program that looks like a document"),
        ("photo.jpg", b"MZ\x90", "a program"),
        ("run", b"#!/bin/sh", "a program"),
        ("a.JS", b"alert(1)", "a program"),
        ("a.exe. ", b"", "a program"),
        ("sheet.xlsm", b"PK", "a document with macros"),
        ("page.html", b"x", "a page that may run scripts"),
        ("drawing.svg", b"<svg>", "a page that may run scripts"),
        ("picture.png", b"  <SCRIPT>", "a page that may run scripts"),
        ("invoice_\u202efdp.exe", b"", "its name reads backwards"),
        ("a.zip", b"PK\x03\x04\x14\x00\x01\x00\x00", "an archive with a password"),
        ("a.zip", b"PK\x03\x04\x14\x00\x00\x00\x00", ""),
    ],
)
def test_dangerous_files_are_named(name, content, said):
    assert danger_of(name, content) == said


def kept(by, number, *files):
    message = actions.note(number=number, by=by, text="See.", files=[NewFile(*file) for file in files])
    return list(Attachment.objects.filter(message=message).order_by("pk"))


def test_a_file_has_its_checksum_and_a_page_is_never_shown_as_one(tier1, browser_of):
    one = ticket()
    (page,) = kept(tier1, one.number, ("page.html", "text/html", b"<script>alert(1)</script>"))
    assert page.sha256 == hashlib.sha256(b"<script>alert(1)</script>").hexdigest()
    browser = browser_of(tier1)
    assert "A page that may run scripts" in browser.get(f"/tickets/{one.number}/").content.decode()
    answer = browser.get(f"/tickets/{one.number}/files/{page.pk}/")
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="page.html"'
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert b"".join(answer.streaming_content) == b"<script>alert(1)</script>"


def test_a_file_that_is_gone_from_the_storage_says_so(tier1, browser_of):
    one = ticket()
    (file,) = kept(tier1, one.number, ("a.txt", "text/plain", b"x"))
    file.file.storage.delete(file.file.name)
    answer = browser_of(tier1).get(f"/tickets/{one.number}/files/{file.pk}/")
    assert (answer.status_code, b"missing from the storage" in answer.content) == (404, True)


def test_limits_come_from_the_settings_and_lose_nothing(tier1, browser_of, settings):
    from django.core.files.uploadedfile import SimpleUploadedFile

    settings.MAX_UPLOAD_MB, settings.MAX_FILES = 1, 2
    one, browser = ticket(), browser_of(tier1)
    large = SimpleUploadedFile("large.bin", b"x" * (1024 * 1024 + 1))
    answer = browser.post(f"/tickets/{one.number}/say/", {"kind": "note", "text": "My long text here.", "files": large})
    assert answer.status_code == 400
    assert b"larger than 1 MB together" in answer.content
    assert b"My long text here." in answer.content
    many = [SimpleUploadedFile(f"{n}.txt", b"x") for n in range(3)]
    assert b"2 files at most" in browser.post(f"/tickets/{one.number}/say/", {"text": "x", "files": many}).content
    assert not Attachment.objects.exists()


def test_files_go_in_and_out_over_rest(administrator, integration, client):
    one = ticket()
    _, text = create_token(email=administrator.email)
    headers = {"Authorization": f"Token {text}"}
    file = {"name": "a.txt", "content_type": "text/plain", "content": base64.b64encode(b"hello").decode()}
    url = f"/api/v1/tickets/{one.number}/"
    body = {"kind": "note", "text": "See.", "files": [file]}
    made = client.post(f"{url}messages/", body, "application/json", headers=headers).json()
    (shown,) = made["attachments"]
    assert (shown["name"], shown["size"], shown["danger"]) == ("a.txt", 5, "")
    got = client.get(f"{url}attachments/{shown['id']}/", headers=headers)
    assert b"".join(got.streaming_content) == b"hello"
    bad = body | {"files": [file | {"content": "not base64!"}]}
    answer = client.post(f"{url}messages/", bad, "application/json", headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "files.0.content")


@pytest.fixture
def s3(monkeypatch):
    """An S3 server of its own, with a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "desk", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="desk-files")
    yield client, url
    server.stop()


def test_attachments_are_kept_in_s3_by_setting(tier1, browser_of, s3, settings):
    client, url = s3
    variables = {
        "DESK_S3_BUCKET": "desk-files", "DESK_S3_ENDPOINT": url, "DESK_S3_REGION": "us-east-1", "DESK_S3_ACCESS_KEY": "desk",
        "DESK_S3_SECRET_KEY": "secret",
    }  # fmt: skip
    script = "import json; from django.conf import settings; print(json.dumps(settings.STORAGES['default']))"
    read = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, **variables, "DJANGO_SETTINGS_MODULE": "supportdesk.settings"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    settings.STORAGES = settings.STORAGES | {"default": json.loads(read.stdout)}
    one = ticket()
    first, second = kept(tier1, one.number, ("a.txt", "text/plain", b"one"), ("a.txt", "text/plain", b"two"))
    stored = client.list_objects_v2(Bucket="desk-files")["Contents"]
    assert len(stored) == 2
    browser = browser_of(tier1)
    for file, content in ((first, b"one"), (second, b"two")):
        answer = browser.get(f"/tickets/{one.number}/files/{file.pk}/")
        assert b"".join(answer.streaming_content) == content
    client.delete_object(Bucket="desk-files", Key=first.file.name)
    assert browser.get(f"/tickets/{one.number}/files/{first.pk}/").status_code == 404
