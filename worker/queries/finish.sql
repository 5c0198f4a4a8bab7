-- Write a job's outcome, once: only who holds the token of the job's present attempt can. No row: fenced, nothing changed.
WITH ended AS (
    DELETE FROM live_jobs WHERE task_id = %(task_id)s AND token = %(token)s
    RETURNING task_id, series, attempts, worker, started_at, progress
), logged AS (
    INSERT INTO attempts (task_id, series, number, worker, started_at, outcome, error, traceback)
    SELECT task_id, series, attempts, worker, started_at, %(outcome)s, %(error)s, %(traceback)s FROM ended
)
UPDATE jobs j
SET status = %(status)s, result = %(result)s, error = %(error)s, progress = e.progress, attempts = e.attempts,
    started_at = e.started_at, finished_at = clock_timestamp()
FROM ended e
WHERE j.task_id = e.task_id
