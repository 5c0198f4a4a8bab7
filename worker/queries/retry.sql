-- A failed attempt with retries left: due again later, as the next series. Fenced like finish. No wake-up: the relay looks
-- for delayed jobs twice a second, and a NOTIFY would serialise the commits of failing jobs.
WITH again AS (
    UPDATE live_jobs
    SET status = 'RETRY', series = series + 1, retries = retries + 1,
        delayed_until = now() + %(delay_s)s * interval '1 second', publish_at = now() + %(delay_s)s * interval '1 second',
        published_at = NULL, token = NULL, error = %(error)s
    WHERE task_id = %(task_id)s AND token = %(token)s
    RETURNING task_id, series, attempts, worker, started_at
), logged AS (
    INSERT INTO attempts (task_id, series, number, worker, started_at, outcome, error, traceback)
    SELECT task_id, series - 1, attempts, worker, started_at, 'FAILURE', %(error)s, %(traceback)s FROM again
)
SELECT attempts FROM again
