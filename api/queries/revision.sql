-- The schema's revision, and which code it works with (core/migrations/compatibility.py).
SELECT version_num, obj_description('alembic_version'::regclass, 'pg_class') FROM alembic_version
