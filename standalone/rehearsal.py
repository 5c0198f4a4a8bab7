"""Load the tasks as the parts do, and end: `python -m standalone.rehearsal`. Exit code 0; 78 with the reason on one line."""

import sys

from core.celery_app import make_app
from core.errors import ConfigurationError
from core.registry import load_registry
from core.settings import load_settings
from standalone.errors import EX_CONFIG


def main() -> int:
    """Return the exit code."""
    try:
        settings = load_settings()
        load_registry(make_app(settings), settings)
    except ConfigurationError as error:
        print("; ".join(str(error).splitlines()), file=sys.stderr)
        return EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
