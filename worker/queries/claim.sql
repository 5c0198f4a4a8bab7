-- Claim a job for one attempt: the one gate that makes every duplicate message harmless. No row: not ours to run.
-- Safe to send again after a lost connection: the same token claims once. May commit asynchronously (set_config is local to
-- this statement's transaction): a claim that a database crash forgets only lets the job run again.
UPDATE live_jobs l
SET status = 'STARTED', attempts = l.attempts + (l.token IS DISTINCT FROM %(token)s)::integer, token = %(token)s,
    worker = %(worker)s, started_at = clock_timestamp(), publish_at = NULL
FROM jobs j
WHERE l.task_id = %(task_id)s AND l.series = %(series)s AND j.task_id = l.task_id
    AND (l.status IN ('PENDING', 'RETRY') OR l.token = %(token)s)
    AND (l.expires_at IS NULL OR l.attempts > 0 OR l.expires_at > now())
RETURNING j.args, j.links, j.owner, l.attempts, l.retries, set_config('synchronous_commit', 'off', true)
