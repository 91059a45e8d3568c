"""``python -m dynamokv``: see ``cli``."""

from dynamokv.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
