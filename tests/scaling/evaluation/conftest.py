"""How this machine isolates programs that a model wrote."""

import os
import shutil

import pytest

from scaling.config.validation import ConfigError
from scaling.evaluation.harness.sandbox.isolation import Isolation
from scaling.evaluation.harness.sandbox.programs import find_isolation


@pytest.fixture(scope="session")
def isolation() -> Isolation:
    """How this machine isolates programs; the tests are skipped where it cannot, except where it is expected to."""
    try:
        return find_isolation()
    except ConfigError as error:
        if os.environ.get("CI") and shutil.which("bwrap"):
            raise
        pytest.skip(str(error))
