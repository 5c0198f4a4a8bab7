-- A batch of expired idempotency keys. Returns how many. One that is being reserved anew at this moment is skipped.
WITH expired AS (
    SELECT owner, key FROM idempotency_keys WHERE expires_at < now()
    ORDER BY expires_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM idempotency_keys k USING expired WHERE k.owner = expired.owner AND k.key = expired.key RETURNING 1
)
SELECT count(*) FROM deleted
