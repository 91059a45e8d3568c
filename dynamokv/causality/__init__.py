"""What happened before what: hybrid time and versions with dots. Pure; bytes for these are made in
``wire``."""
