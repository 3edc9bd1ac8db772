create or replace function loci_private.count_usage(
    model_id integer, requests integer, texts integer, tokens bigint, cost_usd numeric
)
returns void
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into loci_private.model_usage as u (model_id, day, requests, texts, tokens, cost_usd)
    values (
        count_usage.model_id, (loci_private.now() at time zone 'UTC')::date, count_usage.requests, count_usage.texts,
        count_usage.tokens, count_usage.cost_usd
    )
    on conflict (model_id, day) do update set
    requests = u.requests + excluded.requests, texts = u.texts + excluded.texts, tokens = u.tokens + excluded.tokens,
    cost_usd = u.cost_usd + excluded.cost_usd
$$;
comment on function loci_private.count_usage(integer, integer, integer, bigint, numeric) is 'Add what a batch of embeddings took to its model''s day.';
revoke execute on function loci_private.count_usage(integer, integer, integer, bigint, numeric) from public;
grant execute on function loci_private.count_usage(integer, integer, integer, bigint, numeric) to loci_worker;
