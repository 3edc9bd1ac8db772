create or replace function loci_private.cache_parts(parts jsonb)
returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case jsonb_typeof(cache_parts.parts)
        when 'string' then to_jsonb(lower(loci_private.cache_folded(cache_parts.parts #>> '{}')))
        when 'array' then (
            select coalesce(jsonb_agg(loci_private.cache_parts(e.value) order by e.n), '[]')
            from jsonb_array_elements(cache_parts.parts) with ordinality as e (value, n)
        )
        when 'object' then (
            select coalesce(jsonb_object_agg(e.key, loci_private.cache_parts(e.value)), '{}')
            from jsonb_each(cache_parts.parts) as e
        )
        else cache_parts.parts
    end;
end $$;
comment on function loci_private.cache_parts(jsonb) is 'Parts of a key with every text in lower case and its white space folded.';
revoke execute on function loci_private.cache_parts(jsonb) from public;
