-- The broker has confirmed these jobs' messages. Only where the lease still stands: a job that was claimed, cancelled or
-- made due again in the meantime is left as it is; so is one of another series.
UPDATE live_jobs
SET publish_at = NULL, published_at = clock_timestamp()
WHERE task_id = ANY (%(task_ids)s::uuid[]) AND publish_at = %(lease)s AND delayed_until IS NULL
    AND series = %(series)s AND status IN ('PENDING', 'RETRY')
