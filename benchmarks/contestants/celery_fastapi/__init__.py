"""The package celery-fastapi: routes made from Celery's tasks."""
