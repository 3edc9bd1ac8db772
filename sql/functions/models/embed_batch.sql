create or replace function loci.embed_batch(texts text [], model text default null, kind text default 'query')
returns setof public.halfvec
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_model integer;
    v_texts text[];
begin
    if kind is null or kind not in ('query', 'passage') then
        raise exception 'there is no kind "%"', kind using errcode = 'LC216', hint = 'Use query or passage.';
    end if;
    v_model := case
        when model is null then (loci_private.assignment_of(loci_private.organization_of(loci.current_user_id()))).active_model
        else (loci_private.model_named(model)).model_id
    end;
    v_texts := loci_private.redacted(texts, array[loci.current_user_id()]);
    return query
    select v.v::public.halfvec
    from unnest(
        case kind
            when 'query' then loci_private.embed_questions(v_texts, v_model)
            else loci_private.embed_texts(v_texts, loci_private.query_config(v_model), kind)
        end
    ) with ordinality as v (v, n)
    order by v.n;
end $$;
comment on function loci.embed_batch(text [], text, text) is
'Vectors of several texts, in their order. model: by name, null for the one in force; kind: query or passage. LC214 unknown model, LC216 unknown kind, LC409 its gateway is out of order.';
revoke execute on function loci.embed_batch(text [], text, text) from public;
grant execute on function loci.embed_batch(text [], text, text) to loci_app, loci_admin;
