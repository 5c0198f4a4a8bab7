-- Take due jobs of a queue, the most urgent first, by leasing them: until publish_at, the lease, no other scheduler takes
-- them; if this one dies, they come due again then. Rows that another scheduler is taking are skipped.
WITH due AS (
    SELECT task_id, priority FROM live_jobs
    WHERE queue = %(queue)s AND delayed_until IS NULL AND publish_at <= now() AND status IN ('PENDING', 'RETRY')
    ORDER BY priority DESC, task_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE live_jobs l
    SET publish_at = now() + %(lease_s)s * interval '1 second'
    FROM due JOIN jobs j USING (task_id)
    WHERE l.task_id = due.task_id
    RETURNING l.task_id, l.series, j.task, l.publish_at, due.priority
)
SELECT task_id::text, series, task, publish_at FROM taken ORDER BY priority DESC, taken.task_id
