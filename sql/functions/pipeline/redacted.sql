create or replace function loci_private.redacted(texts text [], scopes uuid [])
returns text []
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_patterns jsonb;
begin
    select jsonb_agg(distinct p.pattern) into v_patterns
    from unnest(loci_private.organizations_of(redacted.scopes)) as o (organization_id)
    cross join lateral loci_private.redaction_of(o.organization_id) as r
    cross join lateral jsonb_array_elements(r.patterns) as p (pattern);
    return case when v_patterns is null then redacted.texts else loci_private.redact_texts(redacted.texts, v_patterns) end;
end $$;
comment on function loci_private.redacted(text [], uuid []) is
'Questions as they may be sent to a model: without what any organization of these scopes wants redacted.';
revoke execute on function loci_private.redacted(text [], uuid []) from public;
