-- Who beats and what runs, in one snapshot: read one after the other, a job claimed in between would look lost. Rows without
-- a task_id are instances; the others are running jobs with their worker, and whether its last beat listed their token.
-- Reads the whole of live_jobs: an index that knows what runs would make every claim a cold update.
SELECT instance_id, part, beat, NULL::uuid AS task_id, NULL::uuid AS token, NULL::boolean AS is_listed FROM instances
UNION ALL
SELECT l.worker, NULL, NULL, l.task_id, l.token, i.instance_id IS NOT NULL
FROM live_jobs l LEFT JOIN instances i ON i.instance_id = l.worker AND l.token = ANY (i.tokens)
WHERE l.status = 'STARTED'
