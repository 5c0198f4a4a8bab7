"""What ends a run with a non-zero exit code."""


class BenchmarkError(Exception):
    """A wrong answer, a lost job, or a contestant that does not start: no figure of this run counts."""
