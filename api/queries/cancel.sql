-- Cancel a job: REVOKED at once if it does not run, else asked to stop. The row is locked first, so that its status is the one
-- that a claim or an outcome at the same moment has left. No row: it has no row in live_jobs, or is another owner's.
WITH asked AS (
    SELECT l.task_id, l.status FROM live_jobs l JOIN jobs j USING (task_id)
    WHERE l.task_id = %(task_id)s AND j.owner = %(owner)s
    FOR UPDATE OF l
), requested AS (
    UPDATE live_jobs l SET cancel_requested = true FROM asked
    WHERE l.task_id = asked.task_id AND asked.status = 'STARTED'
    RETURNING l.task_id
), ended AS (
    DELETE FROM live_jobs l USING asked
    WHERE l.task_id = asked.task_id AND asked.status IN ('PENDING', 'RETRY')
    RETURNING l.task_id, l.attempts, l.started_at, l.progress
), finished AS (
    UPDATE jobs j
    SET status = 'REVOKED', attempts = e.attempts, started_at = e.started_at, progress = e.progress,
        finished_at = clock_timestamp(),
        error = CASE WHEN e.attempts = 0 THEN '{"type":"Revoked","message":"cancelled before it ran"}'
            ELSE '{"type":"Revoked","message":"cancelled before it ran again"}' END
    FROM ended e WHERE j.task_id = e.task_id
)
SELECT 'STARTED' FROM requested UNION ALL SELECT 'REVOKED' FROM ended
