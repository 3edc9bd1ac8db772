-- Two floors: what clients may touch, and the machinery behind it.
create schema if not exists loci;
create schema if not exists loci_private;
