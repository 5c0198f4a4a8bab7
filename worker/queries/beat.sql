-- One heartbeat: the counter moves on, and the tokens of the attempts that this worker holds. May commit asynchronously.
INSERT INTO instances (instance_id, part, tokens, slots, queues)
VALUES (%(instance_id)s, 'worker', %(tokens)s::uuid[], %(slots)s, %(queues)s)
ON CONFLICT (instance_id) DO UPDATE
    SET beat = instances.beat + 1, beat_at = clock_timestamp(), tokens = excluded.tokens
RETURNING set_config('synchronous_commit', 'off', true)
