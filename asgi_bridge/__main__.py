"""`python -m asgi_bridge` is the `asgi-bridge` command."""

import sys

from asgi_bridge.cli import main

# Guarded: the servers' spawned worker processes import this module again.
if __name__ == "__main__":
    sys.exit(main())
