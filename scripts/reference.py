"""Make docs/reference/*.md from the code: `python -m scripts.reference`; a test holds the files against it."""

from pathlib import Path
from typing import Final

from core.queues import DEFAULT_QUEUE
from core.settings import Settings
from core.task_options import OPTIONS

REFERENCE: Final = Path(__file__).resolve().parents[1] / "docs" / "reference"


def _of_setting(name: str) -> str:
    return f"`{name.upper()}`, {Settings.model_fields[name].default:g}"


#: What holds for a task that does not name an honoured option.
DEFAULTS: Final = {
    "name": "module and function",
    "bind": "False",
    "base": "none",
    "queue": DEFAULT_QUEUE,
    "priority": "0",
    "max_retries": _of_setting("max_retries"),
    "default_retry_delay": f"None, up to {_of_setting('retry_base_s')} s, doubled each time",
    "autoretry_for": "in the package `tasks` all exceptions, elsewhere none",
    "dont_autoretry_for": "none",
    "retry_kwargs": "empty",
    "retry_backoff": "False",
    "retry_backoff_max": "600",
    "retry_jitter": "True",
    "time_limit": _of_setting("time_limit_s"),
    "soft_time_limit": _of_setting("soft_time_limit_s"),
    "throws": "none",
}


def settings_page() -> str:
    """Return the table of all settings."""
    lines = [
        "# Settings",
        "",
        "Environment variables, the same for every part. A wrong one stops the start with its name (exit code 78).",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else f"`{field.default}`" if field.default not in ("", None) else "empty"
        lines.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def task_options_page() -> str:
    """Return the table of Celery's task options."""
    lines = [
        "# Celery's task options",
        "",
        "Honoured: keeps Celery's meaning. Overridden: whatever a task says, the service needs it so. Refused: stops the",
        "start, naming the task and what to write instead. With examples: [when a task is retried](../how-to/retries.md).",
        "",
        "| option | treatment | default | note |",
        "|---|---|---|---|",
    ]
    for option in OPTIONS:
        lines.append(f"| `{option.name}` | {option.treatment.value} | {DEFAULTS.get(option.name, '')} | {option.note} |")
    return "\n".join(lines) + "\n"


PAGES: Final = {"settings.md": settings_page, "task_options.md": task_options_page}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
