"""The command `mrcnn`: one module per command, which parses its arguments and calls the package that does the work.

Nothing heavy, not even NumPy, is imported before a command runs, so that `--help` is fast.
"""
