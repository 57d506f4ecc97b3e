"""fastsio's server against the official clients, each over polling, WebSocket and the upgrade."""

import pytest

pytest.register_assert_rewrite("tests.interop.cases", "tests.interop.harness")
