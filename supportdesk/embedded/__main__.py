"""`python -m supportdesk.embedded run|test`: what bin/run and bin/test call once the packages are there."""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supportdesk.settings")
    os.chdir(ROOT)
    if sys.argv[1:2] == ["test"]:
        from supportdesk.embedded import testing

        return testing.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="bin/run", description="Serve the desk; set it up first where needed.")
    parser.add_argument("--port", type=int, default=8000, help="the port on 127.0.0.1 (default: 8000)")
    parser.add_argument("--no-demo", action="store_true", help="no demo people, tickets and target")
    options = parser.parse_args(sys.argv[2:])
    if not 1 <= options.port <= 65535:
        parser.error("--port: a port is 1 to 65535")
    from supportdesk.embedded import supervisor

    return supervisor.main(port=options.port, demo=not options.no_demo)


if __name__ == "__main__":
    sys.exit(main())
