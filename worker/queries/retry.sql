-- A failed attempt with retries left: due again later, as the next series; REVOKED if it was asked to stop. Fenced like
-- finish. No wake-up: the relay looks for delayed jobs twice a second, and a NOTIFY would serialise the commits of failing jobs.
WITH failed AS (
    SELECT task_id, cancel_requested FROM live_jobs WHERE task_id = %(task_id)s AND token = %(token)s FOR UPDATE
), again AS (
    UPDATE live_jobs l
    SET status = 'RETRY', series = series + 1, retries = retries + 1,
        delayed_until = now() + %(delay_s)s * interval '1 second', publish_at = now() + %(delay_s)s * interval '1 second',
        published_at = NULL, token = NULL, error = %(error)s
    FROM failed f
    WHERE l.task_id = f.task_id AND NOT f.cancel_requested
    RETURNING l.task_id, l.series - 1 AS series, l.attempts, l.worker, l.started_at, 'RETRY' AS status
), ended AS (
    DELETE FROM live_jobs l USING failed f WHERE l.task_id = f.task_id AND f.cancel_requested
    RETURNING l.task_id, l.series, l.attempts, l.worker, l.started_at, l.progress, 'REVOKED' AS status
), finished AS (
    UPDATE jobs j
    SET status = e.status, error = '{"type":"Revoked","message":"cancelled while it ran"}', progress = e.progress,
        attempts = e.attempts, started_at = e.started_at, finished_at = clock_timestamp()
    FROM ended e
    WHERE j.task_id = e.task_id
), logged AS (
    INSERT INTO attempts (task_id, series, number, worker, started_at, outcome, error, traceback)
    SELECT task_id, series, attempts, worker, started_at, 'FAILURE', %(error)s, %(traceback)s FROM again
    UNION ALL
    SELECT task_id, series, attempts, worker, started_at, 'REVOKED', %(error)s, %(traceback)s FROM ended
)
SELECT status FROM again UNION ALL SELECT status FROM ended
