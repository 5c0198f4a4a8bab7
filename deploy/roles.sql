-- Run by psql as the superuser in the service's database: by the image when it makes the database, and again by hand after
-- the passwords were renewed. The variables :…_password are set above this text in the volume. `migrations` owns the database
-- and with it what is in it; the parts read and write rows, and can change no table.
SET client_min_messages = warning; -- what is granted already is no news

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['migrations', 'part', 'api', 'scheduler', 'worker']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE CURRENT_USER PASSWORD :'postgres_password';
ALTER ROLE migrations LOGIN PASSWORD :'migrations_password';
ALTER ROLE api LOGIN PASSWORD :'api_password';
ALTER ROLE scheduler LOGIN PASSWORD :'scheduler_password';
ALTER ROLE worker LOGIN PASSWORD :'worker_password';
GRANT part TO api, scheduler, worker;

SELECT format('ALTER DATABASE %I OWNER TO migrations', current_database()) \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO part', current_database()) \gexec

ALTER DEFAULT PRIVILEGES FOR ROLE migrations GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO part;
ALTER DEFAULT PRIVILEGES FOR ROLE migrations GRANT USAGE ON SEQUENCES TO part;
-- The scheduler vacuums (scheduler/vacuuming.py).
ALTER DEFAULT PRIVILEGES FOR ROLE migrations GRANT MAINTAIN ON TABLES TO scheduler;
