"""`python -m worker`."""

import sys
import warnings
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning

from core.errors import ConfigurationError
from core.logs import configure_logging
from core.settings import load_settings
from worker.program import run_worker


def main() -> int:
    """Return the exit code: 78 (EX_CONFIG) for a wrong setting or task."""
    try:
        settings = load_settings()
        configure_logging(settings, settings.worker_name or "worker")
        signals.setup_logging.connect(_keep_logging, weak=False)
        # Celery's advice against root is about pickle, which is not accepted here.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        return run_worker(settings)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # the last word, readable in every log format
        return 78


def _keep_logging(**_: Any) -> None:
    """With a receiver for setup_logging, Celery leaves the logging as it is."""


if __name__ == "__main__":
    sys.exit(main())
