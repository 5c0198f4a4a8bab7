-- All that can change about these jobs, to be compared with the last look. One query serves everybody who follows a job.
SELECT j.task_id, coalesce(j.status, l.status), l.series, l.attempts, l.started_at, md5(l.progress)
FROM jobs j LEFT JOIN live_jobs l USING (task_id)
WHERE j.task_id = ANY (%(task_ids)s::uuid[])
