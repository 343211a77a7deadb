"""Looking at a running grid: machines, graphs, speed."""
