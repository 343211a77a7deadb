"""The brain: what is decided from what happened. No sockets, threads or clocks; time is passed in."""
