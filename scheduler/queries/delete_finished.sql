-- One step of a walk through the oldest jobs by primary key: of the next rows that are old enough, delete the finished ones
-- with their attempt logs. A task_id is a UUIDv7 (RFC 9562): its first 48 bits are the milliseconds of its creation, so what
-- was created before the cutoff is found without an index on finished_at. Returns where the walk stands (null: at its end) and
-- how many jobs it deleted.
WITH old AS (
    SELECT task_id, status IS NOT NULL AND finished_at < now() - %(retention_s)s * interval '1 second' AS is_over
    FROM jobs
    WHERE task_id > %(after)s AND task_id < (
        lpad(to_hex(floor(extract(epoch FROM now() - %(retention_s)s * interval '1 second') * 1000)::bigint), 12, '0')
        || repeat('0', 20)
    )::uuid
    ORDER BY task_id
    LIMIT %(limit)s
), deleted AS (
    DELETE FROM jobs WHERE task_id = ANY (ARRAY(SELECT task_id FROM old WHERE is_over)) RETURNING task_id, task, status
), forgotten AS (
    DELETE FROM attempts WHERE task_id = ANY (ARRAY(SELECT task_id FROM deleted))
), unlisted AS (
    DELETE FROM finished_jobs f USING deleted d WHERE f.task = d.task AND f.status = d.status AND f.task_id = d.task_id
)
SELECT (SELECT task_id FROM old ORDER BY task_id DESC LIMIT 1), (SELECT count(*) FROM deleted)
