# SPDX-License-Identifier: MIT
"""Fixtures for the tests on a kernel with L2TP and PPP; those of tests/net serve here, too."""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "net")]

from lab import Lab  # noqa: E402


def pytest_collection_modifyitems(items):
    """A file that was started by hand on a kernel without L2TP would fail without a clear word."""
    if items and not os.path.exists("/dev/ppp"):
        pytest.exit("This kernel has no PPP. Use: tests/vm/run.sh --auto -- /usr/bin/python3 -m "
                    "pytest tests/vm", returncode=4)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    setattr(item, f"report_{report.when}", report)


@pytest.fixture
def lab(request):
    """A Lab; the logs of its processes are printed when the test failed."""
    lab = Lab()
    try:
        yield lab
        report = getattr(request.node, "report_call", None)
        if report is not None and report.failed:
            print(lab.logs())
    finally:
        lab.close()
