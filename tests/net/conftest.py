# SPDX-License-Identifier: MIT
"""Fixtures for the tests in network namespaces: see lab.py."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from lab import Lab  # noqa: E402


def pytest_collection_modifyitems(items):
    """The longest first: started last it would run alone while the other processes have nothing left
    to do."""
    items.sort(key=lambda item: item.path.name != "test_kills.py")


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
