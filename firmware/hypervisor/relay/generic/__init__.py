"""A relay that does anything, as a script of bytes says: for tests that search."""
