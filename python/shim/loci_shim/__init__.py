"""Streams answers of Loci to clients over HTTP: the one thing that SQL cannot do."""
