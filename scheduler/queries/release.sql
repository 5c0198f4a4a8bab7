-- Taken but not confirmed: due again at once. If the lease is over or another's, somebody else takes care of the job.
UPDATE live_jobs
SET publish_at = now()
WHERE task_id = ANY (%(task_ids)s::uuid[]) AND publish_at = %(lease)s AND delayed_until IS NULL
    AND series = %(series)s AND status IN ('PENDING', 'RETRY')
