"""The edge: clocks, threads, the loop, and the hands that carry out what the core decided."""
