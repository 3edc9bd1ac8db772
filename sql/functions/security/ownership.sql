-- loci_owner owns everything, so that security definer functions have exactly its rights. A few functions change other
-- owners' tables or schedule jobs and stay with the superuser who installed Loci; each checks its caller first.
do $$
declare
    v_object record;
    v_superuser_functions constant text[] := array[
        'watch', 'unwatch', 'set_chunking', 'adopt_pgai_vectorizer', 'register_source', 'build_source_readers',
        'build_source_triggers', 'probe_source', 'give_reader', 'require_owner', 'refresh_source', 'caller', 'schedule_job',
        'cron_jobs', 'job_housekeeping', 'drain', 'sessions', 'schedule_jobs', 'cron_database', 'follow_tables', 'unfollow_table',
        'follow_partitions', 'forget_tables', 'job_indexes', 'index_builds', 'log_event', 'open_snapshots',
        'cron_slots'
    ];
begin
    grant create on schema loci_private to loci_owner;
    grant usage on schema loci to loci_owner;
    for v_object in
        select case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end as kind,
            format('%I.%I', n.nspname, c.relname) as name
        from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname in ('loci', 'loci_private') and c.relkind in ('r', 'p', 'v', 'S')
            and pg_get_userbyid(c.relowner) <> 'loci_owner'
            -- Identity sequences follow their table.
            and not (
                c.relkind = 'S'
                and exists (select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i')
            )
    loop
        execute format('alter %s %s owner to loci_owner', v_object.kind, v_object.name);
    end loop;
    for v_object in
        select case p.prokind when 'p' then 'procedure' else 'function' end as kind, p.oid::regprocedure as name
        from pg_proc as p
        where p.pronamespace in ('loci'::regnamespace, 'loci_private'::regnamespace)
            and pg_get_userbyid(p.proowner) <> 'loci_owner'
            and p.proname <> all(v_superuser_functions)
            -- Readers of watched tables belong to the tables' owners.
            and p.proname !~ '^source_[0-9]+_'
    loop
        execute format('alter %s %s owner to loci_owner', v_object.kind, v_object.name);
    end loop;
    for v_object in
        select n.nspname as name from pg_namespace as n
        where n.nspname in ('loci', 'loci_private', 'loci_readers') and pg_get_userbyid(n.nspowner) <> 'loci_owner'
    loop
        execute format('alter schema %I owner to loci_owner', v_object.name);
    end loop;
end $$;
