create or replace function loci_private.extract_json(text text, schema jsonb)
returns jsonb
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import completions
return completions.extract_json(plpy, text, schema)
$$;
comment on function loci_private.extract_json(text, jsonb) is
'The JSON value in a text, as {"value": ...}; {} without one that fits; {"error": ...} for an unusable schema.';
revoke execute on function loci_private.extract_json(text, jsonb) from public;

create or replace function loci.extract_json(text text, schema jsonb default null)
returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_found jsonb := loci_private.extract_json(extract_json.text, extract_json.schema);
begin
    if v_found ? 'error' then
        perform loci_private.raise_error(v_found -> 'error');
    end if;
    return v_found -> 'value';
end $$;
comment on function loci.extract_json(text, jsonb) is
'The JSON value in what a model wrote: in a fence, among prose, with trailing commas, comments, single quotes, or cut off. Among several the one that needs least repair, then the longest; with a schema only one that fits it. Null without any. LC512 for an unusable schema.';
revoke execute on function loci.extract_json(text, jsonb) from public;
grant execute on function loci.extract_json(text, jsonb) to loci_app, loci_admin;
