"""`python -m tests.suites [starlette|fastapi]...`; see `run`."""

import sys

from .run import main

sys.exit(main(sys.argv[1:]))
