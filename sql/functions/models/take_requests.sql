create or replace function loci_private.take_requests(gateway text, wanted integer)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limit integer;
begin
    select g.requests_per_minute into v_limit from loci_private.gateways as g where g.gateway = take_requests.gateway;
    return case
        when not found then take_requests.wanted
        else loci_private.meter_requests(
            take_requests.gateway, take_requests.wanted, v_limit, loci_private.epoch()
        )
    end;
end $$;
comment on function loci_private.take_requests(text, integer) is
'How many of the wanted requests a gateway''s requests_per_minute still allows in this minute; they count as made, whatever becomes of the transaction.';
revoke execute on function loci_private.take_requests(text, integer) from public;
grant execute on function loci_private.take_requests(text, integer) to loci_worker;
