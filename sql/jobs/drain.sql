-- The settings say how many side by side, and when. Only statements of their own can commit, so each job is one CALL.
select loci_private.schedule_job('loci drain', null, 'CALL loci.drain()');
