"""The documented dialect: one class per file, names and defaults of the contract, no decisions."""
