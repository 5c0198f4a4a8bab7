-- The broker has confirmed these jobs' messages. Only where the lease still stands: a job that was claimed, cancelled or
-- made due again in the meantime is left as it is.
UPDATE live_jobs l
SET publish_at = NULL, published_at = clock_timestamp()
FROM unnest(%(task_ids)s::uuid[], %(series)s::integer[]) AS confirmed (task_id, series)
WHERE l.task_id = confirmed.task_id AND l.series = confirmed.series AND l.publish_at = %(lease)s
    AND l.status IN ('PENDING', 'RETRY')
