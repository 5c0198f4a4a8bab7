-- The newest jobs of a task. Compared and ordered as rows: only the index on (task, task_id) can do that, while with task = $1
-- the planner may take the primary key and read all jobs of the other tasks.
SELECT task_id FROM jobs
WHERE (task, task_id) >= (%(task)s, %(after)s) AND (task, task_id) < (%(task)s, %(before)s)
    AND owner = %(owner)s AND created_at > %(created_after)s::timestamptz AND created_at < %(created_before)s::timestamptz
ORDER BY task DESC, task_id DESC
LIMIT %(limit)s
