-- The newest jobs that ended in one way, whatever their task: the newest of each task, and of these the newest. The tasks are
-- found by a loose index scan: one probe for each, however many rows there are (PostgreSQL has no skip scan for DISTINCT).
WITH RECURSIVE tasks AS (
    (SELECT task FROM finished_jobs ORDER BY task LIMIT 1)
    UNION ALL
    SELECT (SELECT f.task FROM finished_jobs f WHERE f.task > tasks.task ORDER BY f.task LIMIT 1)
    FROM tasks WHERE tasks.task IS NOT NULL
)
SELECT newest.task_id
FROM tasks CROSS JOIN LATERAL (
    SELECT f.task_id FROM finished_jobs f
    WHERE f.task = tasks.task AND f.status = %(status)s AND f.task_id >= %(after)s AND f.task_id < %(before)s
        AND (
            SELECT owner = %(owner)s
                AND created_at > %(created_after)s::timestamptz AND created_at < %(created_before)s::timestamptz
            FROM jobs WHERE task_id = f.task_id
        )
    ORDER BY f.task_id DESC
    LIMIT %(limit)s
) newest
ORDER BY newest.task_id DESC
LIMIT %(limit)s
