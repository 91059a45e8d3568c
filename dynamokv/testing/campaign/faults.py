"""All families of faults, by name, in the order in which a seed draws them.

Append only: a new family in the middle would change what every seed after it is. Members that leave
or are replaced get families here once the ring can do that.
"""

from __future__ import annotations

from typing import Final

from dynamokv.testing.campaign import (
    faults_client,
    faults_clock,
    faults_disk,
    faults_network,
    faults_process,
)
from dynamokv.testing.campaign.family import Family

_ALL: Final[tuple[type[Family], ...]] = (
    faults_network.Loss,
    faults_network.Duplication,
    faults_network.Reordering,
    faults_network.VeryLate,
    faults_network.FullQueues,
    faults_network.OneWayCut,
    faults_network.Partition,
    faults_network.SlowLinks,
    faults_network.BrokenLinks,
    faults_disk.SlowDisk,
    faults_disk.StalledDisk,
    faults_disk.FullDisk,
    faults_disk.FailingWrites,
    faults_disk.FailingSyncs,
    faults_disk.FailingReads,
    faults_disk.PowerCut,
    faults_disk.PowerCutEverywhere,
    faults_disk.CrashInApply,
    faults_disk.BitRot,
    faults_clock.ClockOffset,
    faults_clock.ClockDrift,
    faults_clock.ClockJump,
    faults_clock.ClockFreeze,
    faults_process.Kill,
    faults_process.KillEverything,
    faults_process.CleanRestart,
    faults_process.Pause,
    faults_process.RestartElsewhere,
    faults_process.WipedDisk,
    faults_process.RolledBackDisk,
    faults_process.ClonedDisk,
    faults_process.Join,
    faults_process.LostNewcomer,
    faults_client.Abandoned,
    faults_client.StaleContexts,
    faults_client.WrongContexts,
    faults_client.Bursts,
    faults_process.YoungDeaths,
    faults_process.WrongAddress,
)

FAMILIES: Final[dict[str, type[Family]]] = {family.name: family for family in _ALL}
