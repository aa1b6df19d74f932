from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Tests run on the event loop that the product runs on."""
    return "asyncio", {"use_uvloop": True}
