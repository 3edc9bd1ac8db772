select loci_private.schedule_job('loci calls', '13 * * * *', 'SELECT loci_private.job_calls()');
