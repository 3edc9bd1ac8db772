create extension if not exists vector with schema public;
create extension if not exists plpython3u;

-- pg_cron lives in one database of a server. Elsewhere Loci works the same, with its jobs run by hand.
do $$
begin
    if current_database() = coalesce(current_setting('cron.database_name', true), '')
        and exists (select from pg_catalog.pg_available_extensions as e where e.name = 'pg_cron')
    then
        create extension if not exists pg_cron;
    end if;
end $$;
