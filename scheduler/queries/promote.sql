-- Delayed jobs whose time has come move into the waiting index, a batch at a time. Returns how many.
WITH ripe AS (
    SELECT task_id FROM live_jobs
    WHERE delayed_until <= now()
    ORDER BY delayed_until
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE live_jobs SET delayed_until = NULL WHERE task_id = ANY (ARRAY(SELECT task_id FROM ripe)) RETURNING 1
)
SELECT count(*) FROM promoted
