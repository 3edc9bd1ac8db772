create or replace function loci_private.index_builds()
returns table (relation oid, phase text, percent numeric)
language sql stable parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    select p.relid, p.phase,
        round(100.0 * case
            when p.tuples_total > 0 then p.tuples_done::numeric / p.tuples_total
            else p.blocks_done::numeric / nullif(p.blocks_total, 0)
        end, 1)
    from pg_stat_progress_create_index as p
    join pg_class as c on c.oid = p.relid
    where p.datname = current_database() and c.relnamespace = 'loci_private'::regnamespace
        and starts_with(c.relname, 'embeddings_') and p.command like 'CREATE INDEX%'
$$;
comment on function loci_private.index_builds() is
'Indexes of vectors that are being built right now. Runs as the installer: others are not shown what foreign sessions do.';
revoke execute on function loci_private.index_builds() from public;
grant execute on function loci_private.index_builds() to loci_owner, loci_admin, loci_monitor;
