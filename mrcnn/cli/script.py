"""Running a sample as a command: its errors are one line, as those of `mrcnn` are."""

import sys
from pathlib import Path

from mrcnn.cli.main import describe


def run_script(main, argv=None):
    """Run the `main` of a script, and turn what goes wrong into one line on standard error.

    Args:
        main: function of a list of arguments, or None for those of the process.
        argv: list of str; None takes those of the process. `--debug` among them shows the traceback of an error.

    Returns:
        int. Exit code: 0 done, 2 an error, 130 stopped by Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    name = Path(sys.argv[0]).name
    try:
        main([word for word in arguments if word != "--debug"])
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        print(f"{name}: error: {describe(error)}", file=sys.stderr)
        return 2
    return 0
