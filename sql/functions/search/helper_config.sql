create or replace function loci_private.helper_config(purpose text)
returns jsonb
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_model text := loci.setting(purpose || '_model');
    v_config jsonb;
begin
    if v_model is null then
        raise exception 'no model is set for %', purpose
            using errcode = 'LC310', hint = format('As loci_admin: update loci.settings set value = ''name of a model'' where name = ''%s_model''.', purpose);
    end if;
    select jsonb_build_object(
        'model', v_model,
        'seconds', loci.setting('helper_seconds')::float8,
        'gateway', jsonb_build_object(
            'gateway', g.gateway, 'base_url', g.base_url, 'api_key_ref', g.api_key_ref,
            'max_concurrency', g.max_concurrency, 'timeout_seconds', g.timeout_seconds
        )
    ) into v_config
    from loci_private.gateways as g
    where g.gateway = loci.setting(purpose || '_gateway');
    if v_config is null then
        raise exception 'there is no gateway for %', purpose
            using errcode = 'LC311', hint = format('The setting %s_gateway names one that loci.add_gateway() made.', purpose);
    end if;
    return v_config;
end $$;
comment on function loci_private.helper_config(text) is
'Which model helps a search, and where it is. purpose: rerank or expansion. LC310 where no model is set, LC311 where its gateway does not exist.';
revoke execute on function loci_private.helper_config(text) from public;
