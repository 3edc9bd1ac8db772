select loci_private.schedule_job('loci housekeeping', '43 * * * *', 'SELECT loci_private.job_housekeeping()');
