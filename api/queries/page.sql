-- The newest jobs of an owner within bounds, by primary key.
SELECT task_id FROM jobs
WHERE task_id >= %(after)s AND task_id < %(before)s
    AND owner = %(owner)s AND created_at > %(created_after)s::timestamptz AND created_at < %(created_before)s::timestamptz
ORDER BY task_id DESC
LIMIT %(limit)s
