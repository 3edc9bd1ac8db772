create or replace view loci.sources as
select
    s.source_id,
    s.name,
    s.relation,
    s.key_columns,
    s.content,
    s.scope,
    s.audience,
    s.metadata,
    s.context,
    s.title,
    s.mime_type,
    s.chunk_tokens,
    s.chunk_overlap,
    s.on_update,
    s.watched,
    s.broken_since,
    s.broken_error
from loci_private.sources as s;
comment on view loci.sources is 'Watched tables and how their rows are read.';
grant select on loci.sources to loci_admin, loci_monitor;
