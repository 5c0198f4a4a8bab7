-- Accept jobs: one statement, one commit, one wake-up for the scheduler, however many requests share it. Rows come sorted
-- by task_id. Safe to send again after a lost connection: a task_id that is there already is left as it is.
WITH asked AS (
    SELECT *, coalesce(eta, now() + delay_s * interval '1 second') AS due_at
    FROM unnest(
        %(task_ids)s::uuid[], %(tasks)s::text[], %(owners)s::text[], %(queues)s::text[], %(priorities)s::smallint[],
        %(args)s::text[], %(links)s::text[], %(parent_ids)s::uuid[], %(retries_of)s::uuid[], %(max_attempts)s::integer[],
        %(delays_s)s::float8[], %(etas)s::timestamptz[], %(expiries_s)s::float8[]
    ) AS t (task_id, task, owner, queue, priority, args, links, parent_id, retry_of, max_attempts, delay_s, eta, expires_s)
), accepted AS (
    INSERT INTO jobs (task_id, task, owner, queue, priority, args, links, parent_id, retry_of, max_attempts, due_at)
    SELECT task_id, task, owner, queue, priority, args, links, parent_id, retry_of, max_attempts, due_at FROM asked
    ON CONFLICT (task_id) DO NOTHING
    RETURNING task_id
), entered AS (
    INSERT INTO live_jobs (task_id, queue, priority, delayed_until, publish_at, expires_at)
    SELECT task_id, queue, priority, CASE WHEN due_at > now() THEN due_at END, due_at, now() + expires_s * interval '1 second'
    FROM asked JOIN accepted USING (task_id)
)
SELECT count(*), pg_notify('jobs_due', '') FROM accepted
