"""What an executor keeps for others to find: named things, files, packages, tables."""
