"""The opcodes of pickles that make plain values, over a stack of our own.

What is read may be large, but not much larger than its file: no opcode takes memory by a number that stands in the file
before the bytes that the number speaks of were seen, and nothing here calls itself by what is nested in the file.

Source: the opcodes and their arguments, Python's module pickletools; protocols 0 to 5, as Python 3 writes them.
"""

import struct

import numpy as np

from mrcnn.io.pickles.arrays import NAMES, Array, Budget, DType, Name, Unfit, check_key

# an empty container is a byte in the file and some two hundred in memory
MOST_CONTAINERS = 20_000_000
_MOST_MARKS, _DEEPEST = 10_000, 50
_MOST_DIGITS, _LONGEST_INTEGER = 40, 16
_NEWEST_PROTOCOL = 5
_ATOMS = (int, float, str, bytes, bool, type(None), set, frozenset)

_BYTE, _SHORT, _INT, _COUNT = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I")
_STOP, _NONE, _ONE_BYTE, _RECALL, _REMEMBER = b".NKh\x94"
_LONG_COUNT, _DOUBLE = struct.Struct("<Q"), struct.Struct(">d")


class Machine:
    """Runs the opcodes of one pickle."""

    def __init__(self, data):
        """Begin. Args: data: bytes of the whole file."""
        self.data, self.at = data, 0
        self.stack, self.marks, self.memo = [], [], {}
        self.containers, self.has_names, self.budget = 0, False, Budget(len(data))

    def run(self):
        """Run to the end.

        Returns:
            The value that is left.

        Raises:
            Unfit: there is something in it that is not read.
            IndexError, KeyError, TypeError, ValueError, ...: it is damaged.
        """
        data, operations, stack, memo = self.data, _OPERATIONS, self.stack, self.memo
        at = 0
        while True:
            code = data[at]  # an IndexError where the file is cut off
            at += 1
            # the few that the bulk of a large file is made of are written out here, which halves the time
            if code == _ONE_BYTE:
                stack.append(data[at])
                at += 1
            elif code == _RECALL:
                stack.append(memo[data[at]])
                at += 1
            elif code == _REMEMBER:
                memo[len(memo)] = stack[-1]
            elif code == _NONE:
                stack.append(None)
            elif code == _STOP:
                break
            else:
                self.at = at
                operations[code](self)
                at = self.at
        value = self.stack.pop()
        # without names there are plain values alone, and a look at each of millions would take seconds
        return _Finisher().plain(value, 0) if self.has_names else value

    def take(self, count):
        """Take so many bytes of the argument of an opcode: bytes."""
        start, end = self.at, self.at + count
        if end > len(self.data):
            raise ValueError(f"it ends at byte {len(self.data)}, and {count} bytes should follow byte {start}")
        self.at = end
        return self.data[start:end]

    def number(self, layout):
        """Take one number. Args: layout: struct.Struct."""
        return layout.unpack(self.take(layout.size))[0]

    def line(self):
        """Take an argument that ends with a new line: bytes, without it."""
        start, end = self.at, self.data.index(b"\n", self.at)
        self.at = end + 1
        return self.data[start:end]

    def short_line(self):
        """Take an argument that is a number written out."""
        line = self.line()
        if len(line) > _MOST_DIGITS:
            raise Unfit(f"a number of {len(line)} digits")
        return line

    def since_mark(self):
        """Take the values off the stack that were put there since the last mark: list."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def last(self, count):
        """Take so many values off the stack: list."""
        values = self.stack[-count:]
        if len(values) < count:
            raise IndexError(f"{count} values were expected on the stack")
        del self.stack[-count:]
        return values

    def top(self, kind):
        """Look at the value on top of the stack, which must be of this very type."""
        value = self.stack[-1]
        if type(value) is not kind:
            raise TypeError(f"a {kind.__name__} was expected, and there is a {type(value).__name__}")
        return value

    def make(self, container):
        """Put a new container on the stack."""
        self.containers += 1
        if self.containers > MOST_CONTAINERS:
            raise Unfit(f"more than {MOST_CONTAINERS} containers")
        self.stack.append(container)

    def find(self, module, name):
        """Put an admitted name on the stack."""
        self.has_names = True
        found = NAMES.get((module, name)) if type(module) is str and type(name) is str else None
        if found is None:
            raise Unfit(f"the name {ascii(module)[1:-1]:.80}.{ascii(name)[1:-1]:.80}")
        self.stack.append(found)

    def call(self):
        """Call a name with a tuple of arguments."""
        name, args = self.last(2)
        if type(name) is not Name or type(args) is not tuple:
            raise Unfit(f"a call of what is no name but a {type(name).__name__}")
        self.make(name.call(args, self.budget))

    def build(self):
        """Give an array or a dtype its state."""
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) not in (Array, DType):
            raise Unfit(f"a state for {value.title if type(value) is Name else 'a ' + type(value).__name__}")
        value.build(state, self.budget)

    def mark(self):
        """Remember the height of the stack."""
        if len(self.marks) >= _MOST_MARKS:
            raise Unfit(f"more than {_MOST_MARKS} open containers")
        self.marks.append(len(self.stack))

    def new_dict(self):
        """Make a dict of what came since the mark."""
        items = self.since_mark()
        self.make({})
        self.set_items(items)

    def set_items(self, items):
        """Put keys and values by turns into the dict on top of the stack."""
        target, keys = self.top(dict), items[::2]
        for key in keys:
            if type(key) is not str:
                check_key(key)
        target.update(zip(keys, items[1::2], strict=True))

    def checked(self, items):
        """Pass on items for a set."""
        for item in items:
            check_key(item)
        return items


class _Finisher:
    """Puts arrays and dtypes in the place of what they were while they were read, and refuses what is no value."""

    def __init__(self):
        # by id: (value, what it became), the value too, lest another gets its id
        self.done, self.open = {}, set()

    def plain(self, value, depth):
        """Finish a value and all that is in it. Args: depth: int, containers around it."""
        kind, key = type(value), id(value)
        if kind in _ATOMS or isinstance(value, np.generic):
            return value
        if kind is Name:
            raise Unfit(f"the name {value.title} for a value")
        if key in self.done:
            return self.done[key][1]
        if key in self.open or depth > _DEEPEST:
            raise Unfit("something that contains itself, or is nested too deeply")
        self.open.add(key)
        result = value
        if kind is list:
            value[:] = [self.plain(v, depth + 1) for v in value]
        elif kind is dict:
            for name, v in value.items():
                value[name] = self.plain(v, depth + 1)
        elif kind is tuple:
            result = tuple([self.plain(v, depth + 1) for v in value])
        else:
            result = value.finish(lambda v: self.plain(v, depth + 1))
        self.open.discard(key)
        self.done[key] = (value, result)
        return result


def _integer(m, layout):
    length = m.number(layout)
    if length > _LONGEST_INTEGER:
        raise Unfit(f"a whole number of {length} bytes")
    m.stack.append(int.from_bytes(m.take(length), "little", signed=True))


def _int_line(m):
    line = m.short_line()
    # the two numbers with a zero before them are how old protocols write booleans
    m.stack.append(line == b"01" if line in (b"00", b"01") else int(line))


def _text(m, layout):
    m.stack.append(str(m.take(m.number(layout)), "utf-8", "surrogatepass"))


def _bytes(m, layout):
    m.stack.append(bytes(m.take(m.number(layout))))


def _short_text(m):
    start = m.at + 1
    m.at = end = start + m.data[m.at]
    if end > len(m.data):
        raise ValueError(f"it ends at byte {len(m.data)}, within a text")
    m.stack.append(str(m.data[start:end], "utf-8", "surrogatepass"))


def _remember(m, place):
    m.memo[place] = m.stack[-1]


def _append(m):
    value = m.stack.pop()
    m.top(list).append(value)


def _set_item(m):
    m.set_items(m.last(2))


def _append_all(m):
    values = m.since_mark()
    m.top(list).extend(values)


def _add_all(m):
    items = m.checked(m.since_mark())
    m.top(set).update(items)


def _protocol(m):
    if m.data[m.at] > _NEWEST_PROTOCOL:
        raise Unfit(f"the protocol {m.data[m.at]}")
    m.at += 1


def _refuse(what):
    def refuse(m):
        raise Unfit(what)

    return refuse


def _refuse_instance(m):
    m.find(*(m.line().decode() for _ in range(2)))
    raise Unfit("an object of a class")


def _unknown(m):
    raise ValueError(f"byte {m.at - 1} is {m.data[m.at - 1]}, which is no opcode")


_CODES = {
    # numbers and other single values
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"M": lambda m: m.stack.append(m.number(_SHORT)),
    b"J": lambda m: m.stack.append(m.number(_INT)),
    b"\x8a": lambda m: _integer(m, _BYTE),
    b"\x8b": lambda m: _integer(m, _COUNT),
    b"I": _int_line,
    b"L": lambda m: m.stack.append(int(m.short_line().removesuffix(b"L"))),
    b"F": lambda m: m.stack.append(float(m.short_line())),
    b"G": lambda m: m.stack.append(m.number(_DOUBLE)),
    # text and bytes
    b"\x8c": _short_text,
    b"X": lambda m: _text(m, _COUNT),
    b"\x8d": lambda m: _text(m, _LONG_COUNT),
    b"V": lambda m: m.stack.append(str(m.line(), "raw-unicode-escape")),
    b"C": lambda m: _bytes(m, _BYTE),
    b"B": lambda m: _bytes(m, _COUNT),
    b"\x8e": lambda m: _bytes(m, _LONG_COUNT),
    b"\x96": lambda m: _bytes(m, _LONG_COUNT),
    # containers
    b"]": lambda m: m.make([]),
    b"}": lambda m: m.make({}),
    b")": lambda m: m.stack.append(()),
    b"\x8f": lambda m: m.make(set()),
    b"l": lambda m: m.make(m.since_mark()),
    b"d": Machine.new_dict,
    b"t": lambda m: m.make(tuple(m.since_mark())),
    b"\x91": lambda m: m.make(frozenset(m.checked(m.since_mark()))),
    b"\x85": lambda m: m.make(tuple(m.last(1))),
    b"\x86": lambda m: m.make(tuple(m.last(2))),
    b"\x87": lambda m: m.make(tuple(m.last(3))),
    b"a": _append,
    b"e": _append_all,
    b"s": _set_item,
    b"u": lambda m: m.set_items(m.since_mark()),
    b"\x90": _add_all,
    # the stack and the memo
    b"(": Machine.mark,
    b"0": lambda m: m.stack.pop(),
    b"1": Machine.since_mark,
    b"2": lambda m: m.stack.append(m.stack[-1]),
    b"p": lambda m: _remember(m, int(m.short_line())),
    b"q": lambda m: _remember(m, m.number(_BYTE)),
    b"r": lambda m: _remember(m, m.number(_COUNT)),
    b"g": lambda m: m.stack.append(m.memo[int(m.short_line())]),
    b"j": lambda m: m.stack.append(m.memo[m.number(_COUNT)]),
    # names, and calls of them
    b"c": lambda m: m.find(*[m.line().decode() for _ in range(2)]),
    b"\x93": lambda m: m.find(*m.last(2)),
    b"R": Machine.call,
    b"b": Machine.build,
    # how the file is written
    b"\x80": _protocol,
    b"\x95": lambda m: m.take(_LONG_COUNT.size),
    # what is refused
    b"i": _refuse_instance,
    **dict.fromkeys((b"\x82", b"\x83", b"\x84"), _refuse("an extension code, which stands for a name")),
    **dict.fromkeys((b"P", b"Q"), _refuse("a persistent id, which stands for something elsewhere")),
    **dict.fromkeys((b"o", b"\x81", b"\x92"), _refuse("an object of a class")),
    **dict.fromkeys((b"S", b"T", b"U"), _refuse("text of Python 2")),
    **dict.fromkeys((b"\x97", b"\x98"), _refuse("a buffer that is kept elsewhere")),
}
_OPERATIONS = [_CODES.get(bytes([code]), _unknown) for code in range(256)]
