-- A task that this worker does not know (a rolling deployment): due again later, until the limit; then FAILURE.
WITH asked AS (
    SELECT task_id, unknowns + 1 >= %(limit)s AS is_last FROM live_jobs
    WHERE task_id = %(task_id)s AND series = %(series)s AND status IN ('PENDING', 'RETRY')
    FOR UPDATE
), again AS (
    UPDATE live_jobs l
    SET series = series + 1, unknowns = unknowns + 1, published_at = NULL,
        delayed_until = now() + %(delay_s)s * interval '1 second', publish_at = now() + %(delay_s)s * interval '1 second'
    FROM asked WHERE l.task_id = asked.task_id AND NOT asked.is_last
    RETURNING l.task_id
), ended AS (
    DELETE FROM live_jobs l USING asked WHERE l.task_id = asked.task_id AND asked.is_last
    RETURNING l.task_id, l.attempts, l.progress
), finished AS (
    UPDATE jobs j
    SET status = 'FAILURE', error = %(error)s, progress = e.progress, attempts = e.attempts, finished_at = clock_timestamp()
    FROM ended e WHERE j.task_id = e.task_id
)
SELECT false AS is_finished FROM again UNION ALL SELECT true FROM ended
