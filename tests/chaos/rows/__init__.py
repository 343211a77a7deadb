"""The rows of the matrix, a module for each letter of their names."""
