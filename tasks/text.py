"""Tasks on text."""

from celery import shared_task


@shared_task(name="tasks.upper_case")
def upper_case(text: str) -> str:
    """Turn text into upper case, by Unicode's rules ("straße" becomes "STRASSE")."""
    return text.upper()
