create or replace function loci_private.usage_object(usage jsonb)
returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(usage) not in ('object', 'null') then
        raise exception 'usage is a JSON object'
            using errcode = 'LC711', hint = 'prompt_tokens, completion_tokens, cost_usd, latency_ms, sqlstate: what the gateway said.';
    end if;
    return coalesce(nullif(usage, 'null'), '{}');
end $$;
comment on function loci_private.usage_object(jsonb) is 'What a client says that a call used; LC711 where it is no object.';
revoke execute on function loci_private.usage_object(jsonb) from public;
