select loci_private.schedule_job('loci memories', '*/5 * * * *', 'SELECT loci_private.sweep_memories()');
