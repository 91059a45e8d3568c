"""Whole clusters in one process, under virtual time: the real core, executor and store over a
simulated network, simulated disks and simulated clocks.

``schedule`` is what happens when, ``clocks`` what each machine believes the time to be, ``network``
and ``disk`` (one folder up) what fails, ``machine`` what survives a process, ``process`` one life,
``lives`` how it begins and ends, ``cluster`` all of it. Nothing here is real: no thread, no socket,
no file, no wall clock. One seed is one run.
"""
