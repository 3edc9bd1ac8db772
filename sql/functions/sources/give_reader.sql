create or replace function loci_private.give_reader(function text, owner text)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('revoke execute on function %s from public', give_reader.function::regprocedure);
    execute format('alter function %s owner to %I', give_reader.function::regprocedure, give_reader.owner);
    execute format('grant execute on function %s to loci_owner', give_reader.function::regprocedure);
end $$;
comment on function loci_private.give_reader(text, text) is
'Hand a generated reader to the table''s owner; only Loci may call it.';
revoke execute on function loci_private.give_reader(text, text) from public;
