-- Taken but not confirmed: due again at once. If the lease is over or another's, somebody else takes care of the job.
UPDATE live_jobs l
SET publish_at = now()
FROM unnest(%(task_ids)s::uuid[], %(series)s::integer[]) AS unconfirmed (task_id, series)
WHERE l.task_id = unconfirmed.task_id AND l.series = unconfirmed.series AND l.publish_at = %(lease)s
    AND l.status IN ('PENDING', 'RETRY')
