-- Messages that wait in this worker and will not run here: the relay publishes them again, in the same series, for others.
-- What of them was claimed in the meantime is left alone; the old message, wherever it turns up, is dropped at its claim.
WITH again AS (
    UPDATE live_jobs SET publish_at = clock_timestamp()
    WHERE task_id = ANY (%(task_ids)s::uuid[]) AND status IN ('PENDING', 'RETRY') AND delayed_until IS NULL
    RETURNING task_id
)
SELECT count(*), pg_notify('jobs_due', '') FROM again
