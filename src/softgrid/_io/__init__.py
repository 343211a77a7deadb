"""The hands: sockets, readiness, processes, ports. Nothing here decides what a message means."""
