"""What applications call. Four thin faces over one set of calls (``calls.py``)."""
