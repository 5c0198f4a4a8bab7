-- Take due jobs of a queue, the most urgent first, by leasing them: until publish_at, the lease, no other scheduler takes
-- them; if this one dies, they come due again then. Rows that another scheduler is taking are skipped.
--
-- What was chosen goes on as an array, and a task's name is looked up job by job: a join could read the whole table instead,
-- for each batch, if the statistics are of a time when it was empty.
WITH due AS (
    SELECT task_id FROM live_jobs
    WHERE queue = %(queue)s AND delayed_until IS NULL AND publish_at <= now() AND status IN ('PENDING', 'RETRY')
    ORDER BY priority DESC, task_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE live_jobs
    SET publish_at = now() + %(lease_s)s * interval '1 second'
    WHERE task_id = ANY (ARRAY(SELECT task_id FROM due))
    RETURNING task_id, series, publish_at, priority
)
SELECT task_id::text, series, (SELECT task FROM jobs j WHERE j.task_id = taken.task_id), publish_at
FROM taken
ORDER BY priority DESC, taken.task_id
