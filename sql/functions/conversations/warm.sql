create or replace function loci.warm()
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform loci_private.assemble_context(
        '{"system": "", "question": "", "summary": null, "recent": [], "memories": [], "passages": [], "actions": []}',
        loci.setting('context_tokens')::integer, loci.setting('chat_tokenizer')
    );
    -- For the modules that requests and answers go through.
    perform loci.extract_json('{}');
end $$;
comment on function loci.warm() is
'Load what the first turn of a session would wait for: Python, and the tokenizer of the chat model, about a second. For the pool of an application, which calls it in each new connection. It needs no user, reads no row and calls nobody.';
revoke execute on function loci.warm() from public;
grant execute on function loci.warm() to loci_app;
