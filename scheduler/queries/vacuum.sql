-- Clean the waiting index: the relay's scans pass over the entries of finished jobs until a vacuum removes them, and
-- autovacuum looks only once a minute by default. Skipped when autovacuum is at it already.
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF, PARALLEL 0) live_jobs
