-- Published jobs of a queue that nobody claimed and whose messages are presumed lost: due again, in the same series, so that
-- the claim lets only one of two messages through. Younger ones stay as they are. Returns how many.
WITH again AS (
    UPDATE live_jobs SET publish_at = now()
    WHERE queue = %(queue)s AND delayed_until IS NULL AND publish_at IS NULL AND status IN ('PENDING', 'RETRY')
        AND published_at < least(now() - %(patience_s)s * interval '1 second', %(before)s::timestamptz)
    RETURNING 1
)
SELECT count(*) FROM again
