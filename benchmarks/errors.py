"""What ends a run with a non-zero exit code."""


class BenchmarkError(Exception):
    """A wrong answer, a lost job, or a contestant that does not start: no figure of this run counts."""


class PeerLossError(BenchmarkError):
    """A peer did not finish all jobs. The second time in a row that is as any other."""
