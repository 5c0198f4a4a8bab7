-- Which of the attempts that this worker holds are asked to stop.
SELECT token FROM live_jobs
WHERE task_id = ANY (%(task_ids)s::uuid[]) AND token = ANY (%(tokens)s::uuid[]) AND cancel_requested
