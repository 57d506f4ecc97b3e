"""The options' page says what the code has."""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from pathlib import Path

from fastsio.client.options import ClientOptions

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "client.md"


def test_every_option_is_documented_with_its_default() -> None:
    options = PAGE.read_text(encoding="utf-8").split("\n## Options\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", options, re.MULTILINE)
    documented = {name: math.inf if text == "inf" else ast.literal_eval(text) for name, text in rows}
    assert documented == {
        field.name: {} if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(ClientOptions)
    }
