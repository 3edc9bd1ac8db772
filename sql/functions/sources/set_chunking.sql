create or replace function loci.set_chunking(
    relation regclass, chunk_tokens integer default null, chunk_overlap integer default null
)
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_source loci_private.sources;
begin
    if not exists (select from pg_class as c where c.oid = relation) then
        raise exception 'there is no such table' using errcode = 'LC240', hint = 'Pass the table as ''schema.name''::regclass.';
    end if;
    perform loci_private.require_owner(relation);
    select s.* into v_source from loci_private.sources as s where s.relation = set_chunking.relation and s.watched for update;
    if not found then
        raise exception '% is not watched', relation
            using errcode = 'LC253', hint = 'select name, relation from loci.sources lists what is; loci.watch() takes the same numbers.';
    end if;
    chunk_tokens := coalesce(chunk_tokens, v_source.chunk_tokens);
    chunk_overlap := coalesce(chunk_overlap, v_source.chunk_overlap);
    if chunk_tokens not between 100 and 2000 or chunk_overlap not between 0 and chunk_tokens / 2 then
        raise exception 'chunks of % tokens with % overlap are out of range', chunk_tokens, chunk_overlap
            using errcode = 'LC202', hint = 'chunk_tokens: 100 to 2000; chunk_overlap: 0 to half of it.';
    end if;
    update loci_private.sources as s
    set chunk_tokens = set_chunking.chunk_tokens, chunk_overlap = set_chunking.chunk_overlap
    where s.source_id = v_source.source_id;
    perform loci_private.plan_chunkings();
    perform loci_private.activate_complete();
    return exists (
        select from loci_private.chunking_assignments as c
        where c.source_id = v_source.source_id and c.active_chunking <> c.target_chunking
    );
end $$;
comment on function loci.set_chunking(regclass, integer, integer) is
'Cut the rows of a watched table into chunks of another size; null: as it is. Rows are split and embedded anew in the background while search goes on with the chunks there are, and then switches in one step. True if that has begun, false if there was nothing to do. LC202, LC240, LC243, LC253.';
revoke execute on function loci.set_chunking(regclass, integer, integer) from public;
grant execute on function loci.set_chunking(regclass, integer, integer) to loci_admin;
