#!/usr/bin/env python3
"""Django's command line. Started with another Python, it goes on in the project's .venv."""

import os
import sys
from pathlib import Path


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supportdesk.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        python = Path(__file__).resolve().parent / ".venv" / "bin" / "python"
        if not python.exists() or Path(sys.prefix) == python.parent.parent:
            sys.exit("supportdesk: the packages are not installed; run bin/run once")
        os.execv(python, [str(python), *sys.argv])  # noqa: S606 - its own arguments
    from django.core.exceptions import ImproperlyConfigured

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(f"supportdesk: {error}", file=sys.stderr)
        sys.exit(75 if sys.argv[1:2] == ["receive_mail"] else 2)  # EX_TEMPFAIL keeps the mail with the mail server


if __name__ == "__main__":
    main()
