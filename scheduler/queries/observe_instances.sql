-- Who beats. Cheap: a row per process.
SELECT instance_id, part, beat FROM instances
