"""Make docs/reference/*.md from the code: `python -m scripts.reference`; a test holds the files against it."""

from pathlib import Path
from typing import Final

from core.settings import Settings
from core.task_options import OPTIONS

REFERENCE: Final = Path(__file__).resolve().parents[1] / "docs" / "reference"


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
        "start, naming the task and what to write instead.",
        "",
        "| option | treatment | note |",
        "|---|---|---|",
    ]
    lines += [f"| `{option.name}` | {option.treatment.value} | {option.note} |" for option in OPTIONS]
    return "\n".join(lines) + "\n"


PAGES: Final = {"settings.md": settings_page, "task_options.md": task_options_page}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
