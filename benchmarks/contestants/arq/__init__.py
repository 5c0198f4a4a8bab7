"""arq: queue, jobs and results in Redis."""
