"""The command `mrcnn`: a module per command, which reads its arguments and calls the package that does the work.

Nothing heavy, not even NumPy, is imported before a command runs, so that `--help` answers at once.
"""
