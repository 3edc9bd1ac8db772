select loci_private.schedule_job('loci turns', '*/5 * * * *', 'SELECT loci_private.close_turns()');
