"""Where settings come from, which are refused, and what the ring itself refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest

import dynamokv
from dynamokv import ClientConfig, ConfigError, Consistency, Durability, NodeConfig
from tests import waiting


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DYNAMOKV_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "app.toml"


FROM_TEXT: Final[list[tuple[str, str, Any]]] = [
    ("address", "127.0.0.1:7401", "127.0.0.1:7401"),
    ("address", " localhost:7401 ", "127.0.0.1:7401"),
    ("advertise", "localhost:7401", "127.0.0.1:7401"),
    ("seeds", "localhost:1, 10.0.0.1:2,", ("127.0.0.1:1", "10.0.0.1:2")),
    ("data_dir", "/tmp/x", Path("/tmp/x")),
    ("cluster", "shop", "shop"),
    ("zone", "z1", "z1"),
    ("weight", "7", 7),
    ("insecure", "TRUE", True),
    ("insecure", "off", False),
    ("durability", "Interval", Durability.INTERVAL),
    ("consistency", "all", Consistency.ALL),
    ("consistency", "2", 2),
    ("request_timeout", "0.5", 0.5),
    ("partitions", "64", 64),
    ("n", "5", 5),
]


@pytest.mark.parametrize(("name", "text", "value"), FROM_TEXT)
def test_environment(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    monkeypatch.setenv(f"DYNAMOKV_{name.upper()}", text)
    assert getattr(NodeConfig.load(), name) == value


def test_toml(toml: Path) -> None:
    toml.write_text(
        'seeds = ["localhost:1"]\nweight = 3\ninsecure = true\ndurability = "os"\n'
        'hedge_after = 1\nnodes = ["127.0.0.1:1"]\nconsistency = 2\n'
    )
    config = NodeConfig.load(toml)
    assert (config.seeds, config.weight, config.insecure) == (("127.0.0.1:1",), 3, True)
    assert (config.durability, config.hedge_after, config.consistency) == (Durability.OS, 1.0, 2)
    assert ClientConfig.load(str(toml)).nodes == ("127.0.0.1:1",)


def test_precedence(monkeypatch: pytest.MonkeyPatch, toml: Path) -> None:
    toml.write_text('zone = "file"\ncluster = "file"\nweight = 4\n')
    monkeypatch.setenv("DYNAMOKV_CONFIG", str(toml))
    monkeypatch.setenv("DYNAMOKV_CLUSTER", "env")
    monkeypatch.setenv("DYNAMOKV_ZONE", "env")
    node = dynamokv.AsyncNode(zone="argument")
    assert (node.config.zone, node.config.cluster) == ("argument", "env")
    assert (node.config.weight, node.config.n) == (4, 3)
    other = toml.with_name("other.toml")
    other.write_text("weight = 5\n")
    assert dynamokv.AsyncNode(config=other).config.weight == 5


def test_a_finished_config_reads_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMOKV_WEIGHT", "9")
    node = dynamokv.AsyncNode(config=NodeConfig(weight=2, zone="a"), zone="b")
    assert (node.config.weight, node.config.zone) == (2, "b")
    with pytest.raises(ConfigError, match="NodeConfig"):
        dynamokv.AsyncNode(config=ClientConfig(nodes=("127.0.0.1:1",)))  # type: ignore[arg-type]


@pytest.mark.parametrize("face", [dynamokv.AsyncNode, dynamokv.join, dynamokv.connect])
def test_unknown_argument(face: Any) -> None:
    with pytest.raises(ConfigError, match=r"option request_timout; did you mean request_timeout\?"):
        face(request_timout=1)
    with pytest.raises(ConfigError, match=r"unknown option zzzzz; known are .*cluster"):
        face(zzzzz=1)


@pytest.mark.parametrize("face", [dynamokv.AsyncNode, dynamokv.DistributedKVStore])
def test_unknown_elsewhere(face: Any, monkeypatch: pytest.MonkeyPatch, toml: Path) -> None:
    toml.write_text("durabilty = 1\n")
    with pytest.raises(ConfigError, match=r"app\.toml: durabilty; did you mean durability"):
        face(config=toml)
    monkeypatch.setenv("DYNAMOKV_CONSISTENTCY", "ALL")
    with pytest.raises(
        ConfigError, match=r"DYNAMOKV_CONSISTENTCY; did you mean DYNAMOKV_CONSISTENCY"
    ):
        face()


def test_bad_files(toml: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*app\.toml"):
        NodeConfig.load(toml)
    toml.write_text("weight = = 1\n")
    with pytest.raises(ConfigError, match="is not TOML"):
        NodeConfig.load(toml)
    toml.write_bytes(b'zone = "\xff"\n')
    with pytest.raises(ConfigError, match="is not TOML"):
        NodeConfig.load(toml)


RANGES: Final[list[tuple[str, list[Any], list[Any]]]] = [
    ("weight", [1, 100], [0, 101, -1, 1.5, True, "x", None]),
    ("fsync_interval", [0.001, 60], [0, 61, float("nan"), True]),
    ("request_timeout", [0.001, 3600], [0, -1, 3601, "x", float("inf")]),
    ("hedge_after", [0.001, 3600], [0, 3601]),
    ("partitions", [1, 1024], [0, 3, 1000, 1 << 20, 8.0]),
    ("n", [1, 7], [0, 1000]),
    ("expect_members", [1, 1024], [0, 1025]),
    ("sibling_cap", [1, 10_000], [0, 10_001]),
    ("max_clock_drift", [0.1, 3600], [0.05, 3601]),
    ("in_flight_max", [1, 1_000_000], [0, 1_000_001]),
    ("memtable_bytes", [1 << 16, 1 << 40], [(1 << 16) - 1, (1 << 40) + 1]),
    ("cache_bytes", [0, 1 << 40], [-1, (1 << 40) + 1]),
    ("durability", ["os", Durability.FSYNC], ["never", 1, None]),
    ("consistency", ["one", 3, "ALL", 0], ["some", 4, -1, True, None, 1.5]),
    ("cluster", ["c", "c" * 64], ["", "c" * 65, "\ud800", 1, None]),
    ("zone", [None, "z" * 64], ["", "z" * 65, 1]),
    (
        "address",
        ["127.0.0.1:0", "[::1]:1"],
        ["127.0.0.1", ":1", "127.0.0.1:x", "tcp://127.0.0.1:1"],
    ),
    ("advertise", ["h:1", "h:65535"], ["h:0", "h", "h:-1", "h:65536", ""]),
    ("seeds", [[], ["h:1"]], [["h:0"], ["h"], [1], 1]),
    ("insecure", [True, "yes"], [1, "maybe", None]),
    ("data_dir", [None, "x"], [1]),
]


@pytest.mark.parametrize(("name", "good", "bad"), RANGES, ids=[row[0] for row in RANGES])
def test_ranges(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        NodeConfig(**{name: value})
    for value in bad:
        with pytest.raises(ConfigError, match=name):
            NodeConfig(**{name: value})


def test_a_scheme_is_named() -> None:
    with pytest.raises(ConfigError, match="seeds must be 'host:port' without a scheme"):
        NodeConfig(seeds=("redis://10.0.0.1:6379",))


@pytest.mark.parametrize("bad", [[], ["h"], ["h:0"], "", [None]])
def test_nodes_of_a_client(bad: Any) -> None:
    with pytest.raises(ConfigError, match="nodes"):
        dynamokv.DistributedKVStore(bad)
    assert ClientConfig.load(nodes="localhost:1,h:2").nodes == ("127.0.0.1:1", "h:2")


@pytest.mark.parametrize("timeout", [0, -1, "x", None, True, float("nan")])
def test_timeout_to_join(timeout: Any) -> None:
    for face in (dynamokv.join, dynamokv.AsyncNode):
        with pytest.raises(dynamokv.UsageError, match="timeout"):
            face(timeout=timeout)
    with pytest.raises(dynamokv.UsageError, match="timeout"):
        dynamokv.connect(["127.0.0.1:1"], timeout=timeout)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "10.0.0.1:7401", "[::]:0", "example.org:1"])
def test_beyond_loopback_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"insecure=True.* read and write everything|insecure"):
        dynamokv.join(address, advertise="10.0.0.1:7401")


def test_insecure_needs_an_address_for_peers() -> None:
    with pytest.raises(ConfigError, match="advertise"):
        dynamokv.join("0.0.0.0:0", insecure=True)


def test_an_engine_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match="engine needs data_dir"):
        dynamokv.join("127.0.0.1:0", engine=lambda folder: None)


def test_localhost_is_one_spelling(tmp_path: Path) -> None:
    with dynamokv.join("localhost:0", data_dir=tmp_path, durability="os") as node:
        assert node.address.startswith("127.0.0.1:")
        port = node.address.rpartition(":")[2]
        with dynamokv.connect([f"localhost:{port}"]) as client:
            client.put("k", 1)
        with dynamokv.join("localhost:0", seeds=[f"localhost:{port}"]) as other:
            assert other.get("k") == 1
            waiting.until(lambda: len(node.status()["members"]) == 2, "two members")


@pytest.mark.parametrize(
    ("option", "ours", "theirs"), [("partitions", 64, 128), ("n", 3, 2)], ids=["partitions", "n"]
)
def test_a_joiner_that_disagrees(option: str, ours: int, theirs: int) -> None:
    with dynamokv.join("127.0.0.1:0", **{option: ours}) as founder:  # type: ignore[arg-type]
        options: dict[str, Any] = {option: theirs}
        with pytest.raises(dynamokv.ClusterMismatch) as caught:
            dynamokv.join("127.0.0.1:0", seeds=[founder.address], **options)
        text = str(caught.value)
        assert option in text
        assert str(ours) in text
        assert str(theirs) in text
        assert len(founder.status()["members"]) == 1


def test_another_cluster() -> None:
    with dynamokv.join("127.0.0.1:0", cluster="shop") as founder:
        for call in (
            lambda: dynamokv.join("127.0.0.1:0", seeds=[founder.address], cluster="blog"),
            lambda: dynamokv.connect([founder.address], cluster="blog"),
            lambda: dynamokv.connect([founder.address]),
        ):
            with pytest.raises(dynamokv.ClusterMismatch, match="shop"):
                call()
        with dynamokv.connect([founder.address], cluster="shop") as client:
            client.put("k", 1)
        assert founder.get("k") == 1


def test_options_arrive(tmp_path: Path) -> None:
    with dynamokv.join(data_dir=tmp_path, zone="z", weight=2, n=2, partitions=16) as node:
        status = node.status()
        assert (status["n"], status["partitions"]) == (2, 16)
        assert node.config.zone == "z"
