-- Write a job's outcome, once: only who holds the token of the job's present attempt can. No row: fenced, nothing changed.
-- An attempt that was asked to stop and did not succeed all the same ends as REVOKED.
WITH ended AS (
    DELETE FROM live_jobs WHERE task_id = %(task_id)s AND token = %(token)s
    RETURNING task_id, series, attempts, worker, started_at, progress,
        CASE WHEN cancel_requested AND %(status)s <> 'SUCCESS' THEN 'REVOKED' ELSE %(status)s END AS status
), logged AS (
    INSERT INTO attempts (task_id, series, number, worker, started_at, outcome, error, traceback)
    SELECT task_id, series, attempts, worker, started_at, status, %(error)s, %(traceback)s FROM ended
)
UPDATE jobs j
SET status = e.status, result = %(result)s, progress = e.progress, attempts = e.attempts, started_at = e.started_at,
    finished_at = clock_timestamp(),
    error = CASE WHEN e.status = 'REVOKED' THEN '{"type":"Revoked","message":"cancelled while it ran"}' ELSE %(error)s END
FROM ended e
WHERE j.task_id = e.task_id
RETURNING j.status
