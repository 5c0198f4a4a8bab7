-- Where jobs stand. One snapshot: a job is in live_jobs until the very commit that writes its outcome.
SELECT j.task_id, j.task, j.owner, coalesce(j.status, l.status) AS status, j.result, coalesce(j.error, l.error) AS error,
    coalesce(j.attempts, l.attempts) AS attempts, j.max_attempts, coalesce(j.progress, l.progress) AS progress,
    j.created_at, coalesce(l.delayed_until, j.due_at) AS due_at, coalesce(j.started_at, l.started_at) AS started_at, j.finished_at
FROM jobs j LEFT JOIN live_jobs l USING (task_id)
WHERE j.task_id = ANY (%(task_ids)s::uuid[])
