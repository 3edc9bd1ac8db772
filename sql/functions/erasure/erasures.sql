create or replace view loci.erasures as
select
    e.erased_at,
    e.kind,
    e.source,
    e.by_administrator,
    r.relation,
    r.rows,
    r.what
from loci_private.erasures as e
cross join lateral jsonb_to_recordset(e.report) as r (relation text, rows bigint, what text)
where r.rows > 0;
comment on view loci.erasures is
'What loci.forget_user() and loci.forget_source() have erased, and what they left to others: when, where, how much; never whose it was or what it said.';
grant select on loci.erasures to loci_admin, loci_monitor;
