create or replace function loci_private.setting_of_jobs(name text)
returns text
language sql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (
            select substring(c.entry from position('=' in c.entry) + 1)
            from pg_db_role_setting as s
            cross join unnest(s.setconfig) as c (entry)
            where c.entry like setting_of_jobs.name || '=%'
                and s.setdatabase in (0, (select d.oid from pg_database as d where d.datname = current_database()))
                and s.setrole in (
                    0, (select p.proowner from pg_proc as p where p.oid = 'loci_private.job_indexes()'::regprocedure)
                )
            order by (s.setrole <> 0 and s.setdatabase <> 0) desc, s.setrole <> 0 desc
            limit 1
        ),
        (select g.reset_val || coalesce(g.unit, '') from pg_settings as g where g.name = setting_of_jobs.name)
    )
$$;
comment on function loci_private.setting_of_jobs(text) is
'A parameter of the server as jobs have it, which run as the installer: his in this database, his, this database''s, the server''s.';
revoke execute on function loci_private.setting_of_jobs(text) from public;
