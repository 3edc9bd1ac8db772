create or replace function loci.prune_checkpoints(
    older_than interval,
    checkpoint_schema text default 'public',
    max_threads integer default 10000,
    out threads bigint,
    out checkpoints bigint,
    out writes bigint,
    out blobs bigint
)
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- The newest migration of langgraph-checkpoint-postgres whose tables are known here.
    v_known constant integer := 9;
    v_before text;
    v_missing text;
    v_owner text;
    v_version integer;
    v_threads text[];
    v_resumed text;
begin
    if prune_checkpoints.older_than is null or prune_checkpoints.older_than < interval '1 hour'
        or prune_checkpoints.checkpoint_schema is null or coalesce(prune_checkpoints.max_threads, 0) < 1
    then
        raise exception 'threads cannot be pruned by these rules'
            using errcode = 'LC843', detail = 'older_than is an hour at least, max_threads one; checkpoint_schema is not null.',
            hint = 'select * from loci.prune_checkpoints(interval ''90 days'').';
    end if;
    select string_agg(format('%I.%I', prune_checkpoints.checkpoint_schema, t.name), ', ' order by t.name) into v_missing
    from unnest(array['checkpoint_blobs', 'checkpoint_migrations', 'checkpoint_writes', 'checkpoints']) as t (name)
    where not exists (
        select from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = prune_checkpoints.checkpoint_schema and c.relname = t.name and c.relkind in ('r', 'p')
    );
    if v_missing is not null then
        raise exception 'there are no checkpoints of LangGraph in schema "%"', prune_checkpoints.checkpoint_schema
            using errcode = 'LC840', detail = format('Missing: %s.', v_missing),
            hint = 'Let PostgresSaver.setup() make its tables, or name their schema: checkpoint_schema => ''...''.';
    end if;
    -- Whose table it is, decides what runs when somebody touches it: triggers, and expressions of indexes.
    select o.rolname into v_owner
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_roles as o on o.oid = c.relowner
    where n.nspname = prune_checkpoints.checkpoint_schema and not o.rolsuper
        and c.relname in ('checkpoint_blobs', 'checkpoint_migrations', 'checkpoint_writes', 'checkpoints');
    if v_owner is not null and (
        select bool_or(r.rolsuper) from pg_roles as r where r.rolname in (session_user, current_user)
    ) then
        raise exception 'a superuser does not prune tables of somebody else'
            using errcode = 'LC842', detail = format('They belong to "%s", whose triggers would run with a superuser''s rights.', v_owner),
            hint = format(
                'Log in as %I, or have pg_cron do it: select cron.schedule_in_database(''prune checkpoints'', ''23 3 * * *'', %L, %L, %L);',
                v_owner, format('SELECT loci.prune_checkpoints(%L, %L)', prune_checkpoints.older_than, prune_checkpoints.checkpoint_schema),
                current_database(), v_owner
            );
    end if;
    execute format('select max(m.v) from %I.checkpoint_migrations as m', prune_checkpoints.checkpoint_schema) into v_version;
    select string_agg(format('%s.%s %s', e.relation, e.name, e.type), ', ' order by e.relation, e.name) into v_missing
    from (values
        ('checkpoints', 'thread_id', 'text'), ('checkpoints', 'checkpoint_ns', 'text'), ('checkpoints', 'checkpoint_id', 'text'),
        ('checkpoints', 'checkpoint', 'jsonb'), ('checkpoint_writes', 'thread_id', 'text'), ('checkpoint_blobs', 'thread_id', 'text')
    ) as e (relation, name, type)
    where not exists (
        select from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = prune_checkpoints.checkpoint_schema and c.relname = e.relation and a.attname = e.name
            and a.atttypid = e.type::regtype
    );
    if coalesce(v_version, -1) not between 3 and v_known or v_missing is not null then
        raise exception 'these checkpoints are of a version that is not known here'
            using errcode = 'LC841',
            detail = concat_ws(' ', format('Migration: %s; known: 3 to %s.', coalesce(v_version::text, 'none'), v_known), format('Missing: %s.', v_missing)),
            hint = 'Run PostgresSaver.setup() of a newer langgraph-checkpoint-postgres, or, if there is none, update Loci; PostgresSaver.prune(threads, strategy="delete") removes threads by name.';
    end if;

    -- Whole threads, or nothing of them: a value may have to be rebuilt from any older checkpoint of its thread. How old one is,
    -- its latest checkpoint of each namespace says, in UTC; one that says nothing that can be understood stays. One
    -- statement: what a run adds meanwhile is neither seen nor removed.
    v_before := to_char(now() at time zone 'UTC' - prune_checkpoints.older_than, 'YYYY-MM-DD"T"HH24:MI:SS');
    execute format(
        $sql$
        with latest as materialized (
            select c.thread_id, c.checkpoint_ns, max(c.checkpoint_id) as checkpoint_id
            from %1$I.checkpoints as c
            group by c.thread_id, c.checkpoint_ns
        ), aged as materialized (
            select c.thread_id
            from latest as l
            join %1$I.checkpoints as c
                on (c.thread_id, c.checkpoint_ns, c.checkpoint_id) = (l.thread_id, l.checkpoint_ns, l.checkpoint_id)
            cross join lateral (select c.checkpoint ->> 'ts' as ts) as t
            group by c.thread_id
            having bool_and(coalesce(
                t.ts ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+]00:00)$' and left(t.ts, 19) collate "C" < $1, false
            ))
            order by max(t.ts)
            limit $2
        ), removed as (
            delete from %1$I.checkpoints as c using aged as a where c.thread_id = a.thread_id returning 1
        ), removed_writes as (
            delete from %1$I.checkpoint_writes as w using aged as a where w.thread_id = a.thread_id returning 1
        ), removed_blobs as (
            delete from %1$I.checkpoint_blobs as b using aged as a where b.thread_id = a.thread_id returning 1
        )
        select coalesce((select array_agg(a.thread_id) from aged as a), '{}'), (select count(*) from removed),
            (select count(*) from removed_writes), (select count(*) from removed_blobs)
        $sql$,
        prune_checkpoints.checkpoint_schema
    ) into v_threads, checkpoints, writes, blobs using v_before, prune_checkpoints.max_threads;
    threads := cardinality(v_threads);
    execute format(
        $sql$
        select t.thread_id
        from unnest($1) as t (thread_id)
        where exists (select from %1$I.checkpoints as c where c.thread_id = t.thread_id)
            or exists (select from %1$I.checkpoint_writes as w where w.thread_id = t.thread_id)
        limit 1
        $sql$,
        prune_checkpoints.checkpoint_schema
    ) into v_resumed using v_threads;
    if v_resumed is not null then
        raise exception 'a thread was taken up again while it was being pruned'
            using errcode = 'LC844', detail = 'Nothing was removed.', hint = 'Do it again: that thread is not old any more.';
    end if;
end $$;
comment on function loci.prune_checkpoints(interval, text, integer) is
'Remove threads of LangGraph''s checkpointer whose latest checkpoint is older than this, whole; the oldest first, at most max_threads. A thread that is younger keeps everything. With the rights of the caller, who has to be allowed to delete from LangGraph''s tables. Returns how much went. LC840 to LC844.';
revoke execute on function loci.prune_checkpoints(interval, text, integer) from public;
grant execute on function loci.prune_checkpoints(interval, text, integer) to loci_app, loci_admin;
