-- Whether an attempt still holds its job, after whoever has its row locked now.
SELECT true FROM live_jobs WHERE task_id = %(task_id)s AND token = %(token)s FOR UPDATE
