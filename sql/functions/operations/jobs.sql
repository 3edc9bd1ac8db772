create or replace view loci.jobs as
select
    j.job,
    j.schedule,
    j.command,
    j.active,
    j.last_start,
    j.last_end,
    j.last_status,
    j.last_message,
    j.failures
from loci_private.cron_jobs() as j;
comment on view loci.jobs is 'Scheduled jobs of Loci with their last run; empty where pg_cron is not installed in this database.';
grant select on loci.jobs to loci_admin, loci_monitor;
