"""Random runs of whole clusters, and what must hold whatever goes wrong.

``python -m dynamokv.testing.campaign --seeds 1000`` plays a thousand of them.

``plan``      what a seed turns on            ``faults*``   what goes wrong
``workload``  what users ask                  ``history``   what happened, with true causality
``checkers``  what must hold                  ``rare``      what must have come up
``run``       one seed                        ``many``      many of them, over all cores
``shrink``    a failing plan made small       ``trace``     a run as text
"""
