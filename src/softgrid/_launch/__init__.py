"""Getting executor processes onto a machine, and off it again."""
