"""The HTTP interface: accepts jobs and answers what became of them. Never runs a task, never talks to the broker."""

from typing import Final

#: As in pyproject.toml; a test holds them together.
VERSION: Final = "0.1.0"
