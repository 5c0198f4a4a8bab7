-- The newest jobs of a task that ended in one way. A scalar subselect, so that the planner cannot begin with jobs.
SELECT f.task_id FROM finished_jobs f
WHERE f.task = %(task)s AND f.status = %(status)s AND f.task_id >= %(after)s AND f.task_id < %(before)s
    AND (
        SELECT owner = %(owner)s
            AND created_at > %(created_after)s::timestamptz AND created_at < %(created_before)s::timestamptz
        FROM jobs WHERE task_id = f.task_id
    )
ORDER BY f.task_id DESC
LIMIT %(limit)s
