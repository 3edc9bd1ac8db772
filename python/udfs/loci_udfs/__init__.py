"""The PL/Python code of Loci: everything that the database's Python functions import.

A backend is single-threaded. OpenBLAS and OpenMP start a thread a core as soon as numpy or the
local model is loaded, unless told not to before that, so it is done here, ahead of every import.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

__version__ = "0.1.1"
