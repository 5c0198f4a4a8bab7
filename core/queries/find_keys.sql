-- The earlier requests that own these idempotency keys.
SELECT owner, key, fingerprint, task_id
FROM idempotency_keys
JOIN unnest(%(owners)s::text[], %(keys)s::text[]) AS t (owner, key) USING (owner, key)
