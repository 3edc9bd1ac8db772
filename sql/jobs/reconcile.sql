select loci_private.schedule_job('loci reconcile', '17 * * * *', 'SELECT loci.reconcile()');
