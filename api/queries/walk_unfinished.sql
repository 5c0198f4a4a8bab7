-- One step of a walk through the unfinished jobs, newest first: those among the next rows that have a status, and, as the last
-- row, where the walk stands and how many rows it passed. An index that knows the status would turn every claim into a cold
-- update; so a step is bounded, and whoever asks decides how many there are.
WITH walked AS MATERIALIZED (
    SELECT task_id, status FROM live_jobs
    WHERE task_id >= %(after)s AND task_id < %(before)s
    ORDER BY task_id DESC
    LIMIT %(steps)s
), found AS (
    SELECT task_id FROM walked
    WHERE status = %(status)s
        AND (
            SELECT j.owner = %(owner)s AND (%(task)s::text IS NULL OR j.task = %(task)s::text)
                AND j.created_at > %(created_after)s::timestamptz AND j.created_at < %(created_before)s::timestamptz
            FROM jobs j WHERE j.task_id = walked.task_id
        )
    ORDER BY task_id DESC
    LIMIT %(limit)s
)
SELECT task_id, NULL::bigint AS passed FROM found
UNION ALL
SELECT (SELECT task_id FROM walked ORDER BY task_id LIMIT 1), (SELECT count(*) FROM walked)
