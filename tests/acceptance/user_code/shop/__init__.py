"""Tasks of a package that is not `tasks`: TASK_MODULES names it, PYTHONPATH leads to it."""
