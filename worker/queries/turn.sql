-- A pool process turns from the attempts that have ended to the next ones: outcomes and claims in one statement, so in one trip
-- and one commit. The parameters are arrays, of one length for the outcomes and of one for the claims, and either may be empty.
-- A row comes for each outcome that was written, with its status, and one for each claim, without.
--
-- It waits for nobody. The scheduler changes many rows in one statement, in any order: who held one and waited for another could
-- wait for ever. So a row that is locked is left alone; of an outcome that did not come back, is_held.sql tells more.
--
-- An outcome is written once, for only who holds the token of the job's present attempt can. An attempt that was asked to stop
-- and did not succeed all the same ends as REVOKED.
--
-- A claim passes the gate of claim.sql. A job that was lost before is left for claim.sql: it may be what ends its worker, and
-- shall take nobody with it. The outcomes' rows come first (that is what the count is for).
--
-- Rows are named twice, by the join and by ANY: only so is it the primary key by which they are found, whatever the statistics
-- said when the plan was made. The table grows from nothing to a million rows faster than those do.
WITH ended AS (
    SELECT l.task_id, e.status, e.result, e.error, e.traceback
    FROM unnest(
        %(task_ids)s::uuid[], %(tokens)s::uuid[], %(statuses)s::text[], %(results)s::text[], %(errors)s::text[],
        %(tracebacks)s::text[]
    ) AS e (task_id, token, status, result, error, traceback)
    JOIN live_jobs l ON l.task_id = e.task_id AND l.token = e.token
    WHERE l.task_id = ANY (%(task_ids)s::uuid[])
    FOR UPDATE OF l SKIP LOCKED
), gone AS (
    DELETE FROM live_jobs l USING ended e WHERE l.task_id = e.task_id AND l.task_id = ANY (%(task_ids)s::uuid[])
    RETURNING l.task_id, l.token, l.series, l.attempts, l.worker, l.started_at, l.progress, e.result, e.error, e.traceback,
        CASE WHEN l.cancel_requested AND e.status <> 'SUCCESS' THEN 'REVOKED' ELSE e.status END AS status
), logged AS (
    INSERT INTO attempts (task_id, series, number, worker, started_at, outcome, error, traceback)
    SELECT task_id, series, attempts, worker, started_at, status, error, traceback FROM gone
), finished AS (
    UPDATE jobs j
    SET status = g.status, result = g.result, progress = g.progress, attempts = g.attempts, started_at = g.started_at,
        finished_at = clock_timestamp(),
        error = CASE WHEN g.status = 'REVOKED' THEN '{"type":"Revoked","message":"cancelled while it ran"}' ELSE g.error END
    FROM gone g
    WHERE j.task_id = g.task_id AND j.task_id = ANY (%(task_ids)s::uuid[])
    RETURNING g.token, j.status
), next AS (
    SELECT l.task_id, n.token
    FROM unnest(%(next_task_ids)s::uuid[], %(next_series)s::integer[], %(next_tokens)s::uuid[]) AS n (task_id, series, token)
    JOIN live_jobs l ON l.task_id = n.task_id AND l.series = n.series
    WHERE l.task_id = ANY (%(next_task_ids)s::uuid[]) AND l.losses = 0 AND (SELECT count(*) FROM finished) >= 0
    FOR UPDATE OF l SKIP LOCKED
), claimed AS (
    UPDATE live_jobs l
    SET status = 'STARTED', attempts = l.attempts + (l.token IS DISTINCT FROM n.token)::integer, token = n.token,
        worker = %(worker)s, started_at = clock_timestamp(), publish_at = NULL
    FROM next n, jobs j
    WHERE l.task_id = n.task_id AND j.task_id = l.task_id
        AND l.task_id = ANY (%(next_task_ids)s::uuid[]) AND j.task_id = ANY (%(next_task_ids)s::uuid[])
        AND (l.status IN ('PENDING', 'RETRY') OR l.token = n.token)
        AND (l.expires_at IS NULL OR l.attempts > 0 OR l.expires_at > now())
    RETURNING n.token, j.args, j.links, j.owner, l.attempts, l.retries
)
SELECT token, status, NULL AS args, NULL AS links, NULL AS owner, NULL AS attempts, NULL AS retries FROM finished
UNION ALL
SELECT token, NULL, args, links, owner, attempts, retries FROM claimed
