-- Reserve idempotency keys, in the transaction that accepts their jobs. Returns the keys that were free or had expired;
-- the others belong to an earlier request. Rows come sorted by (owner, key) and each key once: two such statements at the
-- same time then wait for each other and never deadlock.
INSERT INTO idempotency_keys (owner, key, fingerprint, task_id, expires_at)
SELECT owner, key, fingerprint, task_id, now() + %(ttl_s)s * interval '1 second'
FROM unnest(%(owners)s::text[], %(keys)s::text[], %(fingerprints)s::text[], %(task_ids)s::uuid[])
    AS t (owner, key, fingerprint, task_id)
ON CONFLICT (owner, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, task_id = excluded.task_id, expires_at = excluded.expires_at
    WHERE idempotency_keys.expires_at < now()
RETURNING owner, key
