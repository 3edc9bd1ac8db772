create or replace function loci.is_visible(scope_id uuid, audience uuid [], scopes uuid [], principals uuid [])
returns boolean
language sql immutable parallel safe
-- Parsed here, once: a string would be parsed where it is inlined, with whatever operators the caller's search_path offers.
return scope_id = any(scopes) and (audience is null or audience && principals);
comment on function loci.is_visible(uuid, uuid [], uuid [], uuid []) is
'THE visibility predicate: a row of this scope and audience against visible_scopes() and current_principals(). Written to be inlined.';
revoke execute on function loci.is_visible(uuid, uuid [], uuid [], uuid []) from public;
grant execute on function loci.is_visible(uuid, uuid [], uuid [], uuid []) to loci_app, loci_admin, loci_worker;
