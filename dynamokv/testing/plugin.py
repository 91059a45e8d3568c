"""The pytest plug-in: rings in virtual time for the tests of an application.

pytest imports this file in every run of every project that has dynamokv installed. So it imports
nothing that costs before a fixture is asked for (``dynamokv/__init__.py`` sees to its part), and a
test that uses none of the fixtures does not meet it.

Rules:
    - A test that asks for a ring runs once for each seed, and its id ends in the seed: ``[seed0]``.
      Without an option or a marker that is seed 0, so that a suite does the same in every run.
    - A test that fails says with which seed, what its rings looked like, and how to repeat it.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dynamokv.testing.ring import Ring, RingFactory
    from dynamokv.testing.ring_nodes import SimulatedNode

MARKER = "dynamokv_seeds"
SEED_OPTION = "--dynamokv-seed"
SEEDS_OPTION = "--dynamokv-seeds"

_RINGS = pytest.StashKey[list["Ring"]]()
_STORIES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The seeds of a run."""
    group = parser.getgroup("dynamokv", "rings in virtual time (dynamokv)")
    group.addoption(
        SEED_OPTION,
        action="append",
        type=int,
        default=[],
        metavar="N",
        help="run tests that use a simulated ring with this seed; may be given several times",
    )
    group.addoption(
        SEEDS_OPTION,
        type=int,
        default=0,
        metavar="COUNT",
        help="run tests that use a simulated ring with each seed from 0 to COUNT-1",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker, so that ``--strict-markers`` knows it."""
    line = f"{MARKER}(count): run this test with each seed from 0 to count-1 of its simulated ring"
    config.addinivalue_line("markers", line)
    if config.getoption(SEEDS_OPTION) < 0:
        raise pytest.UsageError(f"{SEEDS_OPTION} takes a number of seeds, 1 or more")


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a ring becomes one for each seed."""
    if "dynamokv_seed" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker(MARKER)
        seeds = _seeds(metafunc.config, marker)
        metafunc.parametrize("dynamokv_seed", seeds, indirect=True, ids=lambda seed: f"seed{seed}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marker that does nothing says so."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if item.get_closest_marker(MARKER) is None or "dynamokv_seed" in getattr(
            callspec, "params", ()
        ):
            continue
        text = (
            f"{MARKER} does nothing for {item.nodeid}: a test runs once for each seed only when "
            "dynamokv_ring, dynamokv_node or dynamokv_seed is among its arguments (which methods "
            "of unittest.TestCase cannot have)"
        )
        item.warn(pytest.PytestWarning(text))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test that fails says of its rings."""
    report = yield
    if report.failed:
        rings = item.stash.get(_RINGS, [])
        stories = item.stash.get(_STORIES, []) or [_story(ring) for ring in rings]
        for story in stories:
            report.sections.append(("simulated ring", story))
        if stories:
            report.sections.append(("to repeat this", _command(item)))
    return report


@pytest.fixture
def dynamokv_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test's rings; use it for randomness of your own."""
    chosen = getattr(request, "param", None)
    return _seeds(request.config, None)[0] if chosen is None else int(chosen)


@pytest.fixture
def dynamokv_ring(request: pytest.FixtureRequest, dynamokv_seed: int) -> Iterator[RingFactory]:
    """A factory: ``ring = dynamokv_ring(3)`` is a ``dynamokv.testing.Ring`` of three members with
    this test's seed; further settings as for ``Ring``. Closed when the test is over."""
    from dynamokv.testing.ring import Ring

    rings = request.node.stash.setdefault(_RINGS, [])

    def make(members: int = 3, **settings: Any) -> Ring:
        ring = Ring(members, **{"seed": dynamokv_seed, **settings})
        rings.append(ring)
        return ring

    yield make
    # For the report of a fixture that fails after this one.
    request.node.stash[_STORIES] = list(map(_story, rings))
    for ring in rings:
        ring.close()
    rings.clear()


@pytest.fixture
def dynamokv_node(dynamokv_ring: RingFactory) -> SimulatedNode:
    """The only member of a ring of its own: for tests of code that needs a store and no faults."""
    return dynamokv_ring(1)[0]


def _seeds(config: pytest.Config, marker: pytest.Mark | None) -> list[int]:
    """The seeds of a test: those of the command line, else those of its marker, else one."""
    single, count = config.getoption(SEED_OPTION), config.getoption(SEEDS_OPTION)
    if marker is not None and not single and not count:
        count = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            text = f"{MARKER} takes a number of seeds: @pytest.mark.{MARKER}(20)"
            pytest.fail(text, pytrace=False)
    return list(dict.fromkeys([*single, *range(count)])) or [0]


def _story(ring: Ring) -> str:
    """A ring, for whoever reads why a test failed."""
    return "\n".join(ring.story())


def _command(item: pytest.Item) -> str:
    """What plays a test again. Its id is relative to the root of its project."""
    seed = getattr(item, "funcargs", {}).get("dynamokv_seed", 0)
    folder = item.config.rootpath
    where = (
        "" if item.config.invocation_params.dir == folder else f"cd {shlex.quote(str(folder))} && "
    )
    return f"{where}python -m pytest {shlex.quote(item.nodeid)} {SEED_OPTION}={seed}"
