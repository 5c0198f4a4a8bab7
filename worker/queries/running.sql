-- Which of the attempts that this worker holds are running, and whether they are asked to stop.
SELECT token, cancel_requested FROM live_jobs
WHERE task_id = ANY (%(task_ids)s::uuid[]) AND token = ANY (%(tokens)s::uuid[])
