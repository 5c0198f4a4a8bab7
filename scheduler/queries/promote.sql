-- Delayed jobs whose time has come move into the waiting index, a batch at a time. Returns how many.
WITH ripe AS (
    SELECT task_id FROM live_jobs
    WHERE delayed_until <= now()
    ORDER BY delayed_until
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE live_jobs l SET delayed_until = NULL FROM ripe WHERE l.task_id = ripe.task_id RETURNING 1
)
SELECT count(*) FROM promoted
