create or replace function loci_private.turn_proposals(turn_id uuid)
returns jsonb
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select '[]'::jsonb $$;
comment on function loci_private.turn_proposals(uuid) is 'What was proposed in a turn, for the user to confirm: a JSON array.';
revoke execute on function loci_private.turn_proposals(uuid) from public;
