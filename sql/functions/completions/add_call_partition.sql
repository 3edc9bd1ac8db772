create or replace function loci_private.add_call_partition(month date)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_month date := date_trunc('month', add_call_partition.month)::date;
    v_name text := 'calls_' || to_char(v_month, 'YYYY_MM');
begin
    if to_regclass('loci_private.' || v_name) is not null then
        return false;
    end if;
    execute format(
        'create table loci_private.%I partition of loci_private.calls for values from (%L) to (%L)',
        v_name, v_month::timestamp at time zone 'UTC', (v_month + interval '1 month') at time zone 'UTC'
    );
    execute format('comment on table loci_private.%I is %L', v_name, 'Calls of a month.');
    return true;
end $$;
comment on function loci_private.add_call_partition(date) is
'Make the partition of loci_private.calls for a month (UTC). False when it is there.';
revoke execute on function loci_private.add_call_partition(date) from public;
