create or replace function loci.is_visible(scope_id uuid, audience uuid [], scopes uuid [], principals uuid [])
returns boolean
language sql immutable parallel safe
as $$ select scope_id = any(scopes) and (audience is null or audience operator(pg_catalog.&&) principals) $$;
comment on function loci.is_visible(uuid, uuid [], uuid [], uuid []) is
'THE visibility predicate: a row of this scope and audience against visible_scopes() and current_principals(). Written to be inlined.';
revoke execute on function loci.is_visible(uuid, uuid [], uuid [], uuid []) from public;
grant execute on function loci.is_visible(uuid, uuid [], uuid [], uuid []) to loci_app, loci_admin, loci_worker;
