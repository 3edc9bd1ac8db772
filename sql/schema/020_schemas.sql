-- Two floors: what clients may touch, and the machinery behind it.
create schema if not exists loci;
create schema if not exists loci_private;
-- What is made for watched tables and belongs to their owners. Nobody but Loci can name anything in it, so that an owner
-- cannot turn a function that runs with the owner's rights into one that runs with Loci's.
create schema if not exists loci_readers;
