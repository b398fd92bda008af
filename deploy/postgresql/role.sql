-- The database of wx2mqtt and its role, which may do nothing else on the server. A superuser runs it once:
--
--   WX2MQTT_DATABASE_PASSWORD=… psql -X -v ON_ERROR_STOP=1 -f role.sql postgres
--
-- Other names: -v role=… -v database=…
\set ON_ERROR_STOP on
\getenv password WX2MQTT_DATABASE_PASSWORD
\if :{?password} \else \set password ''
\endif
SELECT :'password' = '' AS has_no_password \gset
\if :has_no_password
    DO $$ BEGIN RAISE 'WX2MQTT_DATABASE_PASSWORD is empty; psql needs the password of the new role there'; END $$;
\endif
\if :{?role} \else \set role wx2mqtt
\endif
\if :{?database} \else \set database wx2mqtt
\endif

-- All instances log in with this one role: only then may one of them end the session of another that hangs
-- (pg_terminate_backend). It needs no right of the server for that.
CREATE ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';

-- Texts are compared byte by byte whatever the locale is; their encoding must be UTF8.
CREATE DATABASE :"database" ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"role";

\connect :"database"
REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- The schema bears the name of the role, so it is found without search_path. Its owner creates the tables in it,
-- and migrates them when a new version of the bridge starts.
CREATE SCHEMA :"role" AUTHORIZATION :"role";
