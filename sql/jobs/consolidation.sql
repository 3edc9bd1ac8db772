select loci_private.schedule_job('loci consolidation', '*/5 * * * *', 'SELECT loci_private.job_consolidation()');
