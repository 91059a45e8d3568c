"""``config=`` of a wrong type was ignored: the member ran on defaults, as if nothing had been said.

A dict, the configuration of the other face, anything at all. A member with ``data_dir`` in it then
kept everything in memory.
"""

from __future__ import annotations

from typing import Any

import pytest

import dynamokv

WRONG = [
    {"data_dir": "/tmp/never"},
    5,
    [],
    b"app.toml",
]


@pytest.mark.parametrize("config", [*WRONG, dynamokv.ClientConfig(nodes=("127.0.0.1:1",))])
def test_a_member_says_so(config: Any) -> None:
    with pytest.raises(dynamokv.ConfigError, match="config must be a NodeConfig"):
        dynamokv.join(config=config)


@pytest.mark.parametrize("config", [*WRONG, dynamokv.NodeConfig()])
def test_a_client_says_so(config: Any) -> None:
    with pytest.raises(dynamokv.ConfigError, match="config must be a ClientConfig"):
        dynamokv.connect(["127.0.0.1:1"], config=config)
