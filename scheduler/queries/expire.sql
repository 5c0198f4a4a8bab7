-- Jobs that were not started for the first time by their expiry: REVOKED. Returns them, a batch at a time.
WITH expired AS (
    SELECT task_id FROM live_jobs
    WHERE expires_at <= now() AND status = 'PENDING' AND attempts = 0
    ORDER BY expires_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), ended AS (
    DELETE FROM live_jobs WHERE task_id = ANY (ARRAY(SELECT task_id FROM expired)) RETURNING task_id, expires_at
)
UPDATE jobs j
SET status = 'REVOKED', attempts = 0, finished_at = clock_timestamp(),
    error = json_build_object('type', 'Expired', 'message', 'not started before it expired at ' || e.expires_at)::text
FROM ended e
WHERE j.task_id = e.task_id AND j.task_id = ANY (ARRAY(SELECT task_id FROM ended))
RETURNING j.task_id
