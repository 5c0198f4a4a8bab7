-- What there is to do: each queue with a row in the waiting index, whether one of its jobs is due, and the seconds until the
-- next delayed job is (null: none; the queue is null where only delayed jobs are). A loose index scan: one probe per queue,
-- however many rows there are (PostgreSQL has no skip scan for DISTINCT). The scalar subselects keep the planner from
-- hashing all due rows, as it does with EXISTS.
WITH RECURSIVE queues AS (
    (SELECT queue FROM live_jobs WHERE delayed_until IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT l.queue FROM live_jobs l WHERE l.delayed_until IS NULL AND l.queue > queues.queue ORDER BY l.queue LIMIT 1
    )
    FROM queues WHERE queues.queue IS NOT NULL
), delayed AS (
    SELECT extract(epoch FROM min(delayed_until) - now())::float8 AS next_s FROM live_jobs WHERE delayed_until IS NOT NULL
)
SELECT queues.queue, delayed.next_s, (
    SELECT true FROM live_jobs l
    WHERE l.queue = queues.queue AND l.delayed_until IS NULL AND l.publish_at <= now() AND l.status IN ('PENDING', 'RETRY')
    LIMIT 1
) IS NOT NULL AS is_due
FROM delayed LEFT JOIN queues ON queues.queue IS NOT NULL
