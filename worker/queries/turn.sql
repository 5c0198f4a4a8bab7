-- A pool process turns from one attempt to the next: the outcome of the one and the claim of the other in one statement, so in
-- one trip and one commit. Without a next one its parameters are NULL. One row comes, always.
--
-- The outcome: written once, for only who holds the token of the job's present attempt can. No status: fenced, nothing changed.
-- An attempt that was asked to stop and did not succeed all the same ends as REVOKED.
--
-- The claim: the gate of claim.sql, but it waits for nobody. The scheduler changes many rows in one statement, in any order: who
-- held one and waited for another could wait for ever. So the outcome's rows come first, and a next one that is locked is left
-- alone. No attempts: not claimed, ask again with claim.sql.
WITH ended AS (
    DELETE FROM live_jobs WHERE task_id = %(task_id)s AND token = %(token)s
    RETURNING task_id, series, attempts, worker, started_at, progress,
        CASE WHEN cancel_requested AND %(status)s <> 'SUCCESS' THEN 'REVOKED' ELSE %(status)s END AS status
), logged AS (
    INSERT INTO attempts (task_id, series, number, worker, started_at, outcome, error, traceback)
    SELECT task_id, series, attempts, worker, started_at, status, %(error)s, %(traceback)s FROM ended
), finished AS (
    UPDATE jobs j
    SET status = e.status, result = %(result)s, progress = e.progress, attempts = e.attempts, started_at = e.started_at,
        finished_at = clock_timestamp(),
        error = CASE WHEN e.status = 'REVOKED' THEN '{"type":"Revoked","message":"cancelled while it ran"}' ELSE %(error)s END
    FROM ended e
    WHERE j.task_id = e.task_id
    RETURNING j.status
), next AS (
    SELECT task_id FROM live_jobs WHERE task_id = %(next_task_id)s AND (SELECT count(*) FROM finished) >= 0
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE live_jobs l
    SET status = 'STARTED', attempts = l.attempts + (l.token IS DISTINCT FROM %(next_token)s)::integer,
        token = %(next_token)s, worker = %(worker)s, started_at = clock_timestamp(), publish_at = NULL
    FROM next n, jobs j
    WHERE l.task_id = n.task_id AND l.series = %(next_series)s AND j.task_id = l.task_id
        AND (l.status IN ('PENDING', 'RETRY') OR l.token = %(next_token)s)
        AND (l.expires_at IS NULL OR l.attempts > 0 OR l.expires_at > now())
    RETURNING j.args, j.links, j.owner, l.attempts, l.retries
)
SELECT (SELECT status FROM finished), c.* FROM (SELECT) AS always LEFT JOIN claimed c ON true
