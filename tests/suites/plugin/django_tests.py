"""A pytest plugin for Django's own tests: what its `runtests.py` does around those it runs.

pytest runs in `tests`, with folders of it as arguments, as `runtests.py` takes them.
"""

import os
import tempfile

import pytest

# Some of Django's modules look for the settings when they are imported.
os.environ["DJANGO_SETTINGS_MODULE"] = "test_sqlite"
os.environ["TMPDIR"] = tempfile.gettempdir()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Set Django up, with a database in memory, before a test is collected."""
    import runtests  # type: ignore[import-not-found]  # Django's, from where pytest runs
    from django.test.utils import setup_databases, setup_test_environment

    runtests.setup_run_tests(0, None, None, test_labels=session.config.args)
    setup_test_environment()
    setup_databases(verbosity=0, interactive=False)
