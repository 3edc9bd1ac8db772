create or replace function loci_private.search_filter(
    scopes uuid [], sources text [], metadata jsonb, since timestamptz, until timestamptz
)
returns loci_private.search_filter
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user constant uuid := loci.current_user_id();
    v_scopes uuid[] := loci_private.scopes_of(v_user);
    v_sources integer[];
    v_unknown text;
begin
    if search_filter.sources is not null then
        select coalesce(array_agg(s.source_id), '{}') into v_sources
        from loci_private.sources as s
        where s.name = any(search_filter.sources) and not s.internal;
        select string_agg(format('"%s"', n), ', ') into v_unknown
        from unnest(search_filter.sources) as n
        where not exists (select from loci_private.sources as s where s.name = n and not s.internal);
        if v_unknown is not null then
            raise exception 'there is no source %', v_unknown
                using errcode = 'LC249', hint = 'Sources are named when a table is watched; "documents" is built in.';
        end if;
    end if;
    -- Scopes asked for narrow what is visible and never widen it.
    if search_filter.scopes is not null then
        v_scopes := array(select v from unnest(v_scopes) as v where v = any(search_filter.scopes));
    end if;
    return row(
        v_scopes, loci_private.principals_of(v_user), v_sources, search_filter.metadata, search_filter.since, search_filter.until,
        loci_private.hidden_sets(v_scopes), array(select s.source_id from loci_private.sources as s where s.internal), null, null, null
    )::loci_private.search_filter;
end $$;
comment on function loci_private.search_filter(uuid [], text [], jsonb, timestamptz, timestamptz) is
'What the current user may find with these arguments of a search. LC249 unknown source.';
revoke execute on function loci_private.search_filter(uuid [], text [], jsonb, timestamptz, timestamptz) from public;
