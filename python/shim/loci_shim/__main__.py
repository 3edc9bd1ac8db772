"""python -m loci_shim: serve until SIGTERM, then until the open streams have ended."""

from __future__ import annotations

import sys

import uvicorn

from loci_shim.app import make_app
from loci_shim.logs import log_to_stdout
from loci_shim.settings import Settings


def main() -> int:
    log_to_stdout()
    try:
        settings = Settings.read()
    except (ValueError, OSError) as error:
        print(f"loci_shim: {error}", file=sys.stderr)
        return 2
    uvicorn.run(
        make_app(settings), host=settings.shim_host, port=settings.shim_port, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=round(settings.shim_turn_seconds + settings.shim_database_seconds),
        timeout_keep_alive=30, ws="none",
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
