create or replace function loci_private.probe_model(model jsonb)
returns table (latency_ms real, dimensions integer, ok boolean, error text)
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import embedding
return embedding.check_model(plpy, model)
$$;
comment on function loci_private.probe_model(jsonb) is 'loci.check_model() itself, of one model''s configuration.';
revoke execute on function loci_private.probe_model(jsonb) from public;
