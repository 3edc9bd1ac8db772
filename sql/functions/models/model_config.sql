create or replace function loci_private.model_config(model_id integer)
returns jsonb
language plpgsql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Planned once a session, unlike a SQL function.
    return (
        select to_jsonb(m) || jsonb_build_object(
            'gateway', (
                select jsonb_build_object(
                    'gateway', g.gateway, 'base_url', g.base_url, 'api_key_ref', g.api_key_ref,
                    'max_concurrency', g.max_concurrency, 'timeout_seconds', g.timeout_seconds
                )
                from loci_private.gateways as g
                where g.gateway = m.gateway
            )
        )
        from loci.embedding_models as m
        where m.model_id = model_config.model_id
    );
end $$;
comment on function loci_private.model_config(integer) is
'Everything a provider needs to know of one model, with its gateway; the key only by reference.';
revoke execute on function loci_private.model_config(integer) from public;
grant execute on function loci_private.model_config(integer) to loci_worker;
