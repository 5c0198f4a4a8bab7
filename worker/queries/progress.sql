-- How far the running attempt has come. May commit asynchronously.
UPDATE live_jobs SET progress = %(progress)s WHERE task_id = %(task_id)s AND token = %(token)s
RETURNING set_config('synchronous_commit', 'off', true)
