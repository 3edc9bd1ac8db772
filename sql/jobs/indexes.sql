select loci_private.schedule_job('loci indexes', '*/5 * * * *', 'SELECT loci_private.job_indexes()');
