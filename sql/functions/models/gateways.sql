create or replace view loci.gateways as
select
    g.gateway,
    g.base_url,
    g.api_key_ref,
    g.max_concurrency,
    g.requests_per_minute,
    g.timeout_seconds
from loci_private.gateways as g;
comment on view loci.gateways is 'Gateways to models: address, reference to the key, limits. loci.add_gateway() changes them.';
grant select on loci.gateways to loci_admin;
