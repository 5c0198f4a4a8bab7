-- Which of these jobs are finished. One query serves everybody who waits.
SELECT task_id FROM jobs WHERE task_id = ANY (%(task_ids)s::uuid[]) AND status IS NOT NULL
