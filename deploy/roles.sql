-- Run once by psql, as the superuser, in the new database. The variables :…_password are set above this text in the volume.
-- `migrations` owns the database and with it what is in it; the parts read and write rows, and can change no table.
CREATE ROLE migrations LOGIN PASSWORD :'migrations_password';
CREATE ROLE part NOLOGIN;
CREATE ROLE api LOGIN PASSWORD :'api_password' IN ROLE part;
CREATE ROLE scheduler LOGIN PASSWORD :'scheduler_password' IN ROLE part;
CREATE ROLE worker LOGIN PASSWORD :'worker_password' IN ROLE part;

SELECT format('ALTER DATABASE %I OWNER TO migrations', current_database()) \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO part', current_database()) \gexec

ALTER DEFAULT PRIVILEGES FOR ROLE migrations GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO part;
ALTER DEFAULT PRIVILEGES FOR ROLE migrations GRANT USAGE ON SEQUENCES TO part;
-- The scheduler vacuums (scheduler/vacuuming.py).
ALTER DEFAULT PRIVILEGES FOR ROLE migrations GRANT MAINTAIN ON TABLES TO scheduler;
