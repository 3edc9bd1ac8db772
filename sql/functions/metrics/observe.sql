create or replace function loci.observe(metric text, labels jsonb default '{}', value double precision default 1)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
declare
    v_labels jsonb;
    v_most constant integer := loci.setting('metric_series_max')::integer;
    v_backlog constant bigint := 1000000;
begin
    if observe.metric is null or observe.metric !~ '^[a-zA-Z_][a-zA-Z0-9_]{0,99}$' or observe.metric ~* '^loci'
        or observe.metric ~ '_(bucket|count|sum)$' or observe.metric like '\_\_%'
    then
        raise exception 'not a name for a metric'
            using errcode = 'LC820', detail = 'Letters, digits and underscores; not loci..., not ..._bucket, ..._count or ..._sum.',
            hint = '..._total counts; ..._ms, ..._seconds and ..._bytes are histograms; anything else is a gauge.';
    end if;
    if exists (select from loci_private.metric_families() as f where f.metric = observe.metric and not f.shared) then
        raise exception 'Loci measures "%" itself', observe.metric
            using errcode = 'LC821', hint = 'Choose a name of your own.';
    end if;
    if observe.labels is null or jsonb_typeof(observe.labels) <> 'object' or exists (
        select from jsonb_each(observe.labels) as l
        where l.key !~ '^[a-zA-Z_][a-zA-Z0-9_]{0,49}$' or l.key ~ '^(__.*|le|quantile)$'
            or jsonb_typeof(l.value) not in ('string', 'number', 'boolean')
            or length(l.value #>> '{}') > 100 or l.value #>> '{}' ~ '^loci(\.|$)'
    ) or (select count(*) from jsonb_object_keys(observe.labels)) > 8 then
        raise exception 'not labels of a metric'
            using errcode = 'LC822',
            detail = 'A JSON object of up to 8 names (not le, quantile or __...) with texts, numbers or booleans of up to 100 '
                'characters; loci stands for Loci itself.',
            hint = 'Labels are for what there are few of, such as agents and nodes; never ids or texts of users.';
    end if;
    if observe.value is null or observe.value in ('NaN', 'Infinity', '-Infinity')
        or (observe.value < 0 and loci_private.metric_kind(observe.metric) = 'counter')
    then
        raise exception 'not a value of a metric'
            using errcode = 'LC823', hint = 'A number; not below zero for ..._total, which only grows.';
    end if;
    if pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' then
        return false;
    end if;
    -- Where nobody counts, nobody's transaction is to fail for it: loci.doctor() tells.
    if pg_sequence_last_value('loci_private.observations_observation_id_seq')
        > v_backlog + coalesce((select c.up_to from loci_private.counted_observations as c), 0)
    then
        return false;
    end if;
    -- To Prometheus an empty label is none.
    select coalesce(jsonb_object_agg(l.key, l.value #>> '{}'), '{}') into v_labels
    from jsonb_each(observe.labels) as l
    where l.value #>> '{}' <> '';
    if not exists (select from loci_private.metric_series as s where s.metric = observe.metric and s.labels = v_labels)
        and (select count(*) from loci_private.metric_series as s where not s.own) >= v_most
    then
        raise exception 'there are too many series'
            using errcode = 'LC824', detail = format('The setting metric_series_max is %s; each new set of labels is a series.', v_most),
            hint = 'Use labels with few values. As loci_admin: select loci.drop_metric(name), or raise the setting.';
    end if;
    insert into loci_private.observations (metric, labels, value, own)
    values (observe.metric, v_labels, observe.value, false);
    return true;
end $$;
comment on function loci.observe(text, jsonb, double precision) is
'Add to a metric of the application''s own, which loci.metrics() shows. ..._total counts, ..._ms, ..._seconds and ..._bytes are histograms, anything else is a gauge. False, and nothing noted, where the transaction is read-only, or a million observations wait because neither drains nor metrics() count them. LC820 to LC823 for bad arguments, LC824 too many series.';
revoke execute on function loci.observe(text, jsonb, double precision) from public;
grant execute on function loci.observe(text, jsonb, double precision) to loci_app, loci_admin, loci_worker;
