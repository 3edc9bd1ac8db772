create or replace view loci.embedding_usage as
select
    m.name as model,
    u.day,
    u.requests,
    u.texts,
    u.tokens,
    u.cost_usd
from loci_private.model_usage as u
join loci.embedding_models as m on m.model_id = u.model_id;
comment on view loci.embedding_usage is
'Requests, texts, tokens and cost of embedding by model and day, as the provider reported them.';
grant select on loci.embedding_usage to loci_admin, loci_monitor;
