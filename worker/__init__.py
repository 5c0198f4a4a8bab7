"""The Celery worker: claim, run, record; retry policy; heartbeat; drain."""
