-- Per queue: how many published jobs nobody has claimed for a while, since when the oldest of them is published, and when
-- the newest of the running jobs was. Reads the whole of live_jobs, like observe_running.
SELECT queue,
    count(*) FILTER (WHERE status <> 'STARTED' AND published_at < now() - %(patience_s)s * interval '1 second') AS unclaimed,
    min(published_at) FILTER (WHERE status <> 'STARTED') AS oldest_unclaimed,
    max(published_at) FILTER (WHERE status = 'STARTED') AS newest_claimed
FROM live_jobs
WHERE publish_at IS NULL AND published_at IS NOT NULL
GROUP BY queue
