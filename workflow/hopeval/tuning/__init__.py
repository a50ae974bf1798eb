"""How fast a reader is in one set-up after the other on this machine, and which of them to take."""
