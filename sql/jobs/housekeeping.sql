select loci_private.schedule_job('loci housekeeping', '43 3 * * *', 'SELECT loci_private.job_housekeeping()');
