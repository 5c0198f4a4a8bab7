-- One job with its attempts. The first row carries the job's long texts and no attempt; each further row one attempt, in
-- order: those that ended, and the one that runs. A single statement, so that status and attempt log are of one snapshot.
SELECT j.task_id, j.task, j.owner, coalesce(j.status, l.status) AS status,
    CASE WHEN a.position = 1 THEN j.result END AS result, coalesce(j.error, l.error) AS error,
    coalesce(j.attempts, l.attempts) AS attempts, j.max_attempts, coalesce(j.progress, l.progress) AS progress,
    j.created_at, coalesce(l.delayed_until, j.due_at) AS due_at, coalesce(j.started_at, l.started_at) AS started_at, j.finished_at,
    CASE WHEN a.position = 1 THEN j.args END AS args, j.queue, j.priority, j.parent_id, j.retry_of,
    a.number, a.worker, a.started_at, a.ended_at, a.outcome, a.error, a.traceback
FROM jobs j
LEFT JOIN live_jobs l USING (task_id)
CROSS JOIN LATERAL (
    SELECT row_number() OVER (ORDER BY series) AS position, logged.*
    FROM (
        SELECT series, number, worker, started_at, ended_at, outcome, error, traceback
        FROM attempts WHERE task_id = j.task_id
        UNION ALL
        SELECT l.series, l.attempts, l.worker, l.started_at, NULL, NULL, NULL, NULL WHERE l.status = 'STARTED'
        UNION ALL
        SELECT 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    ) logged
) a
WHERE j.task_id = %(task_id)s
ORDER BY a.position
