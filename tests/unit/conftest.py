"""Nothing here needs a server."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines that run several suites at once are slow now and then; that is no failure.
settings.register_profile("loci", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loci")
