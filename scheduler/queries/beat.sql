-- One heartbeat of this scheduler.
INSERT INTO instances (instance_id, part) VALUES (%(instance_id)s, 'scheduler')
ON CONFLICT (instance_id) DO UPDATE SET beat = instances.beat + 1, beat_at = clock_timestamp()
