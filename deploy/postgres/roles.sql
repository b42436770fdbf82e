-- The roles of a database, one for each kind of process, without passwords: run once by whoever may create roles, and
-- set passwords afterwards (ALTER ROLE rally_edge PASSWORD ...). May be run again. Who owns the tables is who runs
-- `rally migrate`, which then grants each role what its code needs, and nothing else: migrations/grants.sql.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['rally_edge', 'rally_worker', 'rally_backup', 'rally_exporter'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', name);
        END IF;
    END LOOP;
END $$;

-- What the exporter reads of the server itself.
GRANT pg_monitor TO rally_exporter;
