create or replace function loci_private.present_objects()
returns table (kind text, object text, detail text, restores text, removes text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with relations as (
        select c.oid, c.oid::regclass::text as name, c.relkind, c.relowner, c.relacl, c.relrowsecurity
        from pg_class as c
        where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and c.relkind in ('r', 'p', 'v', 'S')
            -- Those of models and months come and go, and a sequence of a column with its table.
            and c.relname !~ '^(embeddings_[0-9]+.*|calls_[0-9]{4}_[0-9]{2}|alembic_version)$'
            and not exists (
                select from pg_depend as d
                where c.relkind = 'S' and d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i'
            )
    ), functions as (
        select p.oid, p.proowner, p.proacl,
            case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure::text as name
        from pg_proc as p
        where p.pronamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and p.proname !~ '^source_[0-9]+_'
    ), granted as (
        select 'schema ' || n.nspname as name, n.nspowner as owner, a.*
        from pg_namespace as n
        cross join lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
        where n.nspname in ('loci', 'loci_private', 'loci_readers')
        union all
        select case r.relkind when 'S' then 'sequence ' else 'table ' end || r.name, r.relowner, a.*
        from relations as r
        cross join lateral aclexplode(
            coalesce(r.relacl, acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner))
        ) as a
        union all
        select f.name, f.proowner, a.*
        from functions as f
        cross join lateral aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as a
    )
    select 'table', r.name, r.relkind::text, null::text, null::text from relations as r
    union all
    select 'function', f.name, '', null, null from functions as f
    union all
    select 'owner', f.name, pg_get_userbyid(f.proowner), format('alter %s owner to %I;', f.name, pg_get_userbyid(f.proowner)), null
    from functions as f
    -- Who installed Loci is another on another server.
    where pg_get_userbyid(f.proowner) = 'loci_owner'
    union all
    select 'row security', r.name, '', format('alter table %s enable row level security;', r.name), null
    from relations as r
    where r.relrowsecurity
    union all
    select 'policy', p.schemaname || '.' || p.tablename,
        p.policyname || ' ' || md5(concat_ws('|', p.permissive, p.roles, p.cmd, p.qual, p.with_check)), null, null
    from pg_policies as p
    where p.schemaname in ('loci', 'loci_private')
    union all
    select 'constraint', k.conrelid::regclass::text, k.conname::text,
        format('alter table %s add constraint %I %s;', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)), null
    from pg_constraint as k
    where k.conrelid in (select r.oid from relations as r)
    union all
    select 'index', i.indrelid::regclass::text, c.relname::text, pg_get_indexdef(i.indexrelid) || ';', null
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where i.indrelid in (select r.oid from relations as r)
        and not exists (select from pg_constraint as k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
    union all
    select 'trigger', g.tgrelid::regclass::text, g.tgname::text,
        case when g.tgenabled in ('O', 'A') then pg_get_triggerdef(g.oid) || ';' end, null
    from pg_trigger as g
    where g.tgrelid in (select r.oid from relations as r) and not g.tgisinternal
        -- A watched table's; doctor_sources() looks at these.
        and g.tgname !~ '^loci_(insert|update|delete|truncate)$' and g.tgenabled in ('O', 'A')
    union all
    select 'privilege', g.name, format('%s to %s', lower(g.privilege_type), r.role),
        format('grant %s on %s to %s;', lower(g.privilege_type), g.name, r.role),
        format('revoke %s on %s from %s;', lower(g.privilege_type), g.name, r.role)
    from granted as g
    cross join lateral (select case g.grantee when 0 then 'public' else format('%I', pg_get_userbyid(g.grantee)) end as role) as r
    where g.grantee <> g.owner;
end $$;
comment on function loci_private.present_objects() is
'What there is of Loci and who may touch it, in a form that can be compared with loci_private.installed_objects; restores and removes: the statements that do.';
revoke execute on function loci_private.present_objects() from public;
