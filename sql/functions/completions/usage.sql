create or replace view loci.usage with (security_barrier) as
select
    c.organization_id,
    'chat' as kind,
    c.model,
    (c.called_at at time zone 'UTC')::date as day,
    count(*) as calls,
    sum(c.tokens_in + coalesce(c.tokens_out, 0)) as tokens,
    sum(c.cost_usd) as cost_usd
from loci.calls as c
group by c.organization_id, c.model, (c.called_at at time zone 'UTC')::date
union all
select
    null,
    'embedding',
    m.name,
    u.day,
    u.requests,
    u.tokens,
    u.cost_usd
from loci_private.model_usage as u
join loci.embedding_models as m on m.model_id = u.model_id
where (select loci.sees_all_calls());
comment on view loci.usage is
'Calls, tokens and cost by organization, model and day (UTC): chat as in loci.calls, and embedding, which serves all organizations together (organization_id null).';
grant select on loci.usage to loci_app, loci_admin, loci_monitor;
