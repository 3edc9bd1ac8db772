create or replace function loci.add_gateway(
    name text,
    base_url text,
    api_key_ref text default null,
    max_concurrency integer default 5,
    requests_per_minute integer default 60,
    timeout_seconds integer default 30
)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if name is null or btrim(name) = '' then
        raise exception 'a gateway needs a name' using errcode = 'LC223', hint = 'The one models use unless told otherwise is called default.';
    end if;
    if base_url is null or base_url !~ '^https?://[^[:space:]@/]+(/[^[:space:]@]*)?/v1$' then
        raise exception 'not an address of a gateway'
            using errcode = 'LC224', hint = 'Pass an http or https address that ends in /v1 and has no password in it.';
    end if;
    if api_key_ref !~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$' then
        raise exception 'not a key reference'
            using errcode = 'LC225', hint = 'Pass env:NAME or file:/absolute/path of the server; never the key itself.';
    end if;
    if max_concurrency is null or max_concurrency not between 1 and 100
        or requests_per_minute is null or requests_per_minute not between 1 and 1000000
        or timeout_seconds is null or timeout_seconds not between 1 and 600
    then
        raise exception 'a limit of the gateway is out of range'
            using errcode = 'LC226',
            hint = 'max_concurrency: 1 to 100; requests_per_minute: 1 to 1000000; timeout_seconds: 1 to 600.';
    end if;
    insert into loci_private.gateways as g (
        gateway, base_url, api_key_ref, max_concurrency, requests_per_minute, timeout_seconds
    ) values (
        add_gateway.name, add_gateway.base_url, add_gateway.api_key_ref, add_gateway.max_concurrency,
        add_gateway.requests_per_minute, add_gateway.timeout_seconds
    )
    on conflict (gateway) do update set
    base_url = excluded.base_url, api_key_ref = excluded.api_key_ref, max_concurrency = excluded.max_concurrency,
    requests_per_minute = excluded.requests_per_minute, timeout_seconds = excluded.timeout_seconds;
    -- A new address deserves a new chance.
    delete from loci_private.model_health as h
    where h.chat_gateway = add_gateway.name
        or h.model_id in (select m.model_id from loci.embedding_models as m where m.gateway = add_gateway.name);
end $$;
comment on function loci.add_gateway(text, text, text, integer, integer, integer) is
'Set the address of an OpenAI-compatible gateway, its key by reference, and its limits; changes one that exists. LC223 to LC226 for bad arguments.';
revoke execute on function loci.add_gateway(text, text, text, integer, integer, integer) from public;
grant execute on function loci.add_gateway(text, text, text, integer, integer, integer) to loci_admin;
