create or replace function loci_private.question_vectors(query text, scopes uuid [], required boolean)
returns table (models integer [], vectors text [])
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_model integer;
    v_question text[];
    v_message text;
begin
    models := loci_private.models_of(question_vectors.scopes);
    vectors := '{}';
    begin
        v_question := loci_private.redacted(array[question_vectors.query], question_vectors.scopes);
        foreach v_model in array models loop
            vectors := vectors || loci_private.embed_questions(v_question, v_model);
        end loop;
    exception when others then
        -- Words still find things while a model is out of reach.
        if question_vectors.required then
            raise;
        end if;
        get stacked diagnostics v_message = message_text;
        raise notice 'searching by words only: %', v_message;
        models := '{}';
        vectors := '{}';
    end;
    return next;
end $$;
comment on function loci_private.question_vectors(text, uuid [], boolean) is
'A question as vectors of the models that the rows of these scopes are searched with; unless required, none when a model is out of reach.';
revoke execute on function loci_private.question_vectors(text, uuid [], boolean) from public;
