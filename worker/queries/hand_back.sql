-- Attempts that a draining worker could not finish, and jobs that a pool process has claimed and cannot begin: due again at
-- once, at the cost of neither an attempt nor a loss. One that was asked to stop has no need to run again: the caller ends it as
-- REVOKED, or its worker's end does, which is a loss.
WITH again AS (
    UPDATE live_jobs
    SET status = CASE WHEN retries + losses > 0 THEN 'RETRY' ELSE 'PENDING' END, series = series + 1,
        attempts = attempts - 1, publish_at = clock_timestamp(), published_at = NULL, token = NULL
    WHERE token = ANY (%(tokens)s::uuid[]) AND task_id = ANY (%(task_ids)s::uuid[]) AND NOT cancel_requested
    RETURNING task_id, series, attempts, worker, started_at
), logged AS (
    INSERT INTO attempts (task_id, series, number, worker, started_at, outcome)
    SELECT task_id, series - 1, attempts + 1, worker, started_at, 'HANDED_BACK' FROM again
)
SELECT task_id, pg_notify('jobs_due', '') FROM again
