"""The command `mrcnn`: one file a command, arguments only. What a command does lies in the other packages.

Nothing heavy (NumPy included) is imported before a command runs, so that `--help` answers at once.
"""
