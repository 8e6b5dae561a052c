"""Pickles that would do harm if any part of them ran, each with the expected error message."""
import os
import pickle
import subprocess

import numpy as np


class Call:
    """An object that pickles as a function call."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        """Return the call."""
        return self.function, self.args


class UnknownClass:
    """A class that a reader of plain values does not know."""

    def __init__(self):
        self.value = 1


def object_array(value):
    """Hide a value in an array of objects."""
    array = np.empty((1, 2), object)
    array[0, 1] = value
    return array


def harmful(trap):
    """Return a list of (pickle, pattern of the message); the path `trap` exists only if one of the pickles ran."""
    system = Call(os.system, f"touch {trap}")
    code = f"open({str(trap)!r}, 'w').close()"
    values = [
        (system, "posix.system"),
        (Call(eval, code), "builtins.eval"),
        (Call(exec, code), "builtins.exec"),
        (Call(subprocess.Popen, ["touch", str(trap)]), "(subprocess|commands).Popen"),
        (Call(getattr, "a", "upper"), "builtins.getattr"),
        (Call(np.load, str(trap)), "numpy.load"),
        (Call(np.fromfile, "/etc/hostname"), "numpy.*fromfile"),
        (Call(np.testing.assert_equal, 1, 1), "numpy.testing._private.utils.assert_equal"),
        (UnknownClass(), "tests.io.harmful_pickles.UnknownClass|copy_?reg._reconstructor"),
        (np.ma.masked_array([1]), "numpy.ma"),
        (np.zeros(1).view(np.recarray), "numpy.*rec.*"),
        (range(3), "(builtins|__builtin__).x?range"),
        (os.system, "posix.system"),
        (np.ndarray, "numpy.ndarray as a value"),
        ({"a": [1, (2, {"b": system})]}, "posix.system"),
        ([np.arange(3), object_array(system)], "posix.system"),
        (object_array(object_array(Call(eval, code))), "builtins.eval"),
    ]
    pickles = [(pickle.dumps(value, protocol), message.replace("builtins.", "(builtins|__builtin__)."))
               for value, message in values for protocol in (0, 2, 4, 5)]  # fmt: skip
    return pickles + by_hand(trap)


def by_hand(trap):
    """Return pickles that no pickler writes, assembled by hand."""
    command = f"touch {trap}".encode()
    text = b"X" + len(command).to_bytes(4, "little") + command
    return [
        (b"(cos\nsystem\n" + text + b"o.", "os.system"),  # OBJ
        (b"(" + text + b"ios\nsystem\n.", "os.system"),  # INST
        (b"cbuiltins\nobject\n)\x81.", "builtins.object"),  # NEWOBJ
        (b"cnumpy\nndarray\n)\x81.", "an object of a class"),
        (b"cnumpy\nndarray\n)}\x92.", "an object of a class"),  # NEWOBJ_EX
        (b"cnumpy\nndarray\n(K\x04tR.", "a call of numpy.ndarray"),
        (b"\x80\x04\x8c\x05numpy\x8c\x18core.multiarray.fromfile\x93.", "numpy.core.multiarray.fromfile"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0blib.os.path\x93.", "numpy.lib.os.path"),
        (b"cnumpy._core.multiarray\n_reconstruct.__self__\n.", "_reconstruct.__self__"),
        (b"cnumpy\nndarray\n}X\x03\x00\x00\x00runK\x01sb.", "a state for numpy.ndarray"),  # BUILD on a name
        (b"c_codecs\nencode\nN}X\x08\x00\x00\x00__code__K\x01s\x86b.", "a state for _codecs.encode"),
        (b"}}K\x01K\x02sb.", "a state for a dict"),
        (b"c_codecs\nencode\n(" + text + b"X\x06\x00\x00\x00rot_13tR.", "encoding other than"),
        (b"c_codecs\nencode\n.", "the name _codecs.encode as a value"),
        (b"\x82\x01.", "an extension code"),
        (b"\x83\x01\x00.", "an extension code"),
        (b"\x84\x01\x00\x00\x00.", "an extension code"),
        (b"Pmine\n.", "a persistent id"),
        (b"K\x01Q.", "a persistent id"),
        (b"\x97.", "a buffer"),
        (b"S'a'\n.", "text of Python 2"),
        (b"K\x01)R.", "a call of a int rather than a name"),
        (b"cnumpy\nndarray\n]R.", "a call of a Name"),  # arguments that are not a tuple
        (b"](cnumpy\nndarray\ne.", "the name numpy.ndarray as a value"),
        (b"}K\x01cnumpy\nndarray\ns.", "the name numpy.ndarray as a value"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)NtR.", "without its state"),
        (b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R\x85.", "without its state"),
        (b"c\x1b[2J\nx\n.", r"the name .x1b\[2J.x"),  # no escape code for the terminal
    ]
