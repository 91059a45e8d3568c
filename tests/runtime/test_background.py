"""Recurring jobs: they survive themselves, are counted, and end together."""

from __future__ import annotations

import asyncio

import pytest

from dynamokv.runtime.background import Background
from tests.waiting import until_async


@pytest.mark.asyncio
async def test_a_job_runs_again_and_again_until_the_end() -> None:
    background = Background(asyncio.get_running_loop())
    runs: list[int] = []
    others: list[int] = []
    background.every("job", 0.001, lambda: runs.append(1))
    background.every("other", 0.001, lambda: others.append(1))
    await until_async(lambda: len(runs) >= 5 and len(others) >= 5, "some runs of both")
    assert background.healthy
    assert background.failures == {"job": 0, "other": 0}
    background.stop()
    before = (len(runs), len(others))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (len(runs), len(others)) == before


@pytest.mark.asyncio
async def test_a_job_that_fails_is_counted_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    background = Background(asyncio.get_running_loop())
    runs: list[int] = []

    def job() -> None:
        runs.append(1)
        if len(runs) <= 3:
            raise OSError("not now")

    background.every("job", 0.001, job)
    await until_async(lambda: background.failures["job"] == 3, "three failures")
    assert "background job job failed" in caplog.text
    await until_async(lambda: background.healthy, "health comes back with the next good run")
    assert background.failures["job"] == 3
    background.stop()


@pytest.mark.asyncio
async def test_one_failing_job_is_enough_to_be_unhealthy() -> None:
    background = Background(asyncio.get_running_loop())
    runs: list[int] = []
    background.every("good", 0.001, lambda: runs.append(1))
    background.every("bad", 0.001, lambda: runs.remove(0))
    await until_async(lambda: background.failures["bad"] >= 2 and len(runs) > 5, "some runs")
    assert not background.healthy
    background.stop()


@pytest.mark.asyncio
async def test_a_job_may_end_it_all() -> None:
    background = Background(asyncio.get_running_loop())
    runs: list[int] = []

    def job() -> None:
        runs.append(1)
        background.stop()

    background.every("job", 0.001, job)
    await until_async(lambda: runs, "the run")
    for _ in range(20):
        await asyncio.sleep(0)
    assert runs == [1]
