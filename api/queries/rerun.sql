-- What a job is made of, to make another one like it.
SELECT task, queue, args, priority, links, max_attempts, status FROM jobs WHERE task_id = %(task_id)s AND owner = %(owner)s
