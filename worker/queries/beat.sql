-- One heartbeat: the counter moves on, and the tokens of the attempts that this worker holds. beat_at says when the worker was
-- last well: one that does not consume keeps what it runs, but is not counted as alive. May commit asynchronously.
INSERT INTO instances (instance_id, part, beat_at, tokens, slots, queues)
VALUES (
    %(instance_id)s, 'worker', CASE WHEN %(is_well)s::boolean THEN clock_timestamp() ELSE '-infinity' END,
    %(tokens)s::uuid[], %(slots)s, %(queues)s
)
ON CONFLICT (instance_id) DO UPDATE
    SET beat = instances.beat + 1, tokens = excluded.tokens,
        beat_at = CASE WHEN %(is_well)s::boolean THEN clock_timestamp() ELSE instances.beat_at END
RETURNING set_config('synchronous_commit', 'off', true)
