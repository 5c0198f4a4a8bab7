-- Attempts whose worker or pool process vanished. The job is due again at once, as the next series; with the last loss that
-- it may have it ends as FAILURE, so that a task which kills its worker comes to an end; one that was asked to stop ends as
-- REVOKED. Fenced by the token. Rows are named by ANY besides the join, so that they are found by their key whatever the
-- statistics say.
WITH lost AS (
    SELECT l.task_id, l.cancel_requested, l.cancel_requested OR l.losses + 1 >= %(max_losses)s::integer AS is_last
    FROM live_jobs l
    JOIN unnest(%(task_ids)s::uuid[], %(tokens)s::uuid[]) AS t (task_id, token) USING (task_id, token)
    WHERE l.task_id = ANY (%(task_ids)s::uuid[])
    ORDER BY l.task_id
    FOR UPDATE OF l
), again AS (
    UPDATE live_jobs l
    SET status = 'RETRY', series = series + 1, losses = losses + 1, publish_at = clock_timestamp(), published_at = NULL,
        token = NULL, error = %(error)s
    FROM lost WHERE l.task_id = lost.task_id AND l.task_id = ANY (%(task_ids)s::uuid[]) AND NOT lost.is_last
    RETURNING l.task_id, l.series - 1 AS series, l.attempts, l.worker, l.started_at
), ended AS (
    DELETE FROM live_jobs l USING lost
    WHERE l.task_id = lost.task_id AND l.task_id = ANY (%(task_ids)s::uuid[]) AND lost.is_last
    RETURNING l.task_id, l.series, l.attempts, l.worker, l.started_at, l.progress,
        CASE WHEN lost.cancel_requested THEN 'REVOKED' ELSE 'FAILURE' END AS status,
        CASE WHEN lost.cancel_requested THEN '{"type":"Revoked","message":"cancelled while it ran"}' ELSE
            jsonb_set(%(error)s::jsonb, '{message}', to_jsonb(concat(
                %(error)s::jsonb ->> 'message', '; this was loss ', %(max_losses)s::integer, ' of ', %(max_losses)s::integer,
                ', so the job is not run again (MAX_LOSSES)'
            )))::text
        END AS error
), finished AS (
    UPDATE jobs j
    SET status = e.status, error = e.error, progress = e.progress, attempts = e.attempts, started_at = e.started_at,
        finished_at = clock_timestamp()
    FROM ended e WHERE j.task_id = e.task_id AND j.task_id = ANY (%(task_ids)s::uuid[])
), logged AS (
    INSERT INTO attempts (task_id, series, number, worker, started_at, outcome, error)
    SELECT task_id, series, attempts, worker, started_at, 'LOST', %(error)s FROM again
    UNION ALL
    SELECT task_id, series, attempts, worker, started_at, 'LOST', error FROM ended
)
SELECT task_id, false AS is_finished, pg_notify('jobs_due', '') FROM again
UNION ALL
SELECT task_id, true, NULL FROM ended
