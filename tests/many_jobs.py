"""A database with very many jobs, made by the database itself."""

from typing import Any, Final

import psycopg

#: The first 48 bits of a UUIDv7 are milliseconds; here one job each 10 ms, the last one just now.
_ID: Final = """
(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - (%(count)s - n) * 10), 12, '0') || '7000' || '8000'
 || lpad(to_hex(n), 12, '0'))::uuid
"""
#: Most jobs are of one task and succeeded. What is rare is old: that is where a search from the newest on takes longest.
_FINISHED: Final = f"""
INSERT INTO jobs (task_id, task, owner, queue, args, max_attempts, created_at, due_at, status, result, error, attempts,
    started_at, finished_at)
SELECT {_ID}, CASE WHEN n <= 50 THEN 'tasks.rare' WHEN n %% 10 = 0 THEN 'tasks.upper_case' ELSE 'tasks.add' END, 'local',
    'default', '{{"x": 2, "y": 3}}', 6,
    now() - (%(count)s - n) * interval '10 ms', now() - (%(count)s - n) * interval '10 ms',
    CASE WHEN n <= 20 THEN 'REVOKED' WHEN n %% 100 = 7 THEN 'FAILURE' ELSE 'SUCCESS' END, '5', NULL, 1, now(), now()
FROM generate_series(1, %(count)s) AS n
"""
_LIST: Final = "INSERT INTO finished_jobs (task, status, task_id) SELECT task, status, task_id FROM jobs"
_UNFINISHED: Final = f"""
WITH made AS (
    INSERT INTO jobs (task_id, task, owner, queue, args, max_attempts, due_at)
    SELECT {_ID.replace("'8000'", "'9000'")}, CASE WHEN n <= 50 THEN 'tasks.rare' ELSE 'tasks.add' END, 'local', 'default',
        '{{"x": 2, "y": 3}}', 6, now()
    FROM generate_series(1, %(count)s) AS n
    RETURNING task_id
)
INSERT INTO live_jobs (task_id, queue, publish_at, status, token, worker, started_at)
SELECT task_id, 'default', now(), CASE WHEN place <= 8 THEN 'STARTED' ELSE 'PENDING' END, gen_random_uuid(), 'w', now()
FROM (SELECT task_id, row_number() OVER (ORDER BY task_id) AS place FROM made) AS numbered
"""


def fill(connection: psycopg.Connection[Any], finished: int, unfinished: int, *, analyze: bool) -> None:
    """Add so many jobs to an empty database. Without analyze, the planner does not know."""
    connection.execute(_FINISHED.encode(), {"count": finished})
    connection.execute(_LIST)
    connection.execute(_UNFINISHED.encode(), {"count": unfinished})
    if analyze:
        connection.execute("VACUUM (ANALYZE) jobs, live_jobs, finished_jobs")


#: Filters of every kind: each leads to another query, or to other places in an index.
FILTERS: Final[dict[str, dict[str, str]]] = {
    "all": {},
    "common task": {"task": "tasks.add"},
    "rare task": {"task": "tasks.rare"},
    "unknown task": {"task": "tasks.none"},
    "common outcome": {"status": "SUCCESS"},
    "rare outcome": {"status": "REVOKED"},
    "common outcome of a task": {"task": "tasks.add", "status": "SUCCESS"},
    "rare outcome of a task": {"task": "tasks.rare", "status": "REVOKED"},
    "outcome that a task never had": {"task": "tasks.upper_case", "status": "REVOKED"},
    "waiting": {"status": "PENDING"},
    "waiting of a task": {"task": "tasks.add", "status": "PENDING"},
    "running": {"status": "STARTED"},
    "running of a task": {"task": "tasks.rare", "status": "STARTED"},
    "between attempts": {"status": "RETRY"},
}
