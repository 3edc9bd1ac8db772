create or replace function loci_private.take_requests(gateway text, wanted integer)
returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_minute timestamptz := date_trunc('minute', loci_private.now());
    v_gateway loci_private.gateways;
    v_granted integer;
begin
    select g.* into v_gateway from loci_private.gateways as g where g.gateway = take_requests.gateway for update;
    if not found then
        return take_requests.wanted;
    end if;
    v_granted := least(
        take_requests.wanted,
        v_gateway.requests_per_minute - case when v_gateway.minute = v_minute then v_gateway.minute_requests else 0 end
    );
    update loci_private.gateways as g
    set minute = v_minute,
        minute_requests = v_granted + case when g.minute = v_minute then g.minute_requests else 0 end
    where g.gateway = take_requests.gateway and v_granted > 0;
    return greatest(v_granted, 0);
end $$;
comment on function loci_private.take_requests(text, integer) is
'How many of the wanted requests a gateway''s requests_per_minute still allows in this minute; they count as made.';
revoke execute on function loci_private.take_requests(text, integer) from public;
grant execute on function loci_private.take_requests(text, integer) to loci_worker;
