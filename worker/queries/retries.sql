-- How many attempts of this job failed before the one that holds the token.
SELECT retries FROM live_jobs WHERE task_id = %(task_id)s AND token = %(token)s
