-- One job a worker; every five minutes. Only statements of their own can commit, so each job is one CALL.
select loci_private.schedule_job(format('loci drain %s', n), '*/5 * * * *', 'CALL loci.drain()')
from generate_series(1, loci.setting('drain_workers')::integer) as n;
