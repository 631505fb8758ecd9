"""A worker of `python -m bench sla`: says that it is ready, sweeps when it reads a line, says that it is done."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supportdesk.settings")


def main() -> None:
    import django

    django.setup()
    from tickets import actions

    print("ready", flush=True)
    sys.stdin.readline()
    actions.sweep_sla()
    print("done", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
