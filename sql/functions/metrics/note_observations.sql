create or replace function loci_private.note_observations(metrics text [], labels jsonb, observed double precision [])
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if loci_private.cache_access() = 'write' then
        insert into loci_private.observations (metric, labels, value, own)
        select o.metric, note_observations.labels, o.value, true
        from unnest(note_observations.metrics, note_observations.observed) as o (metric, value)
        where o.value is not null;
    end if;
end $$;
comment on function loci_private.note_observations(text [], jsonb, double precision []) is
'Loci''s own measurements, with the labels they share; nulls and read-only transactions leave none.';
revoke execute on function loci_private.note_observations(text [], jsonb, double precision []) from public;
