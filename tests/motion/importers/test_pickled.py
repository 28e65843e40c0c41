import collections
import os
import pickle

import numpy as np
import pytest

from manybody.motion.errors import MotionError
from manybody.motion.importers.pickled import read_pickle

CONTENT = {
    "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">i4"),
    "names": np.array(["hip", "knee"]),
    "objects": np.array(["a", 7], dtype=object),
    "scalar": np.int64(60),
    "plain": [
        None,
        True,
        False,
        -1,
        300,
        70_000,
        2**40,
        0.5,
        "text",
        b"bytes",
        (),
        (1,),
        (1, 2),
        (1, 2, 3, 4),
    ],
    "nested": collections.OrderedDict([("list", []), ("dict", {})]),
}


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_and_plain_containers_come_back(protocol):
    got = read_pickle(pickle.dumps(CONTENT, protocol=protocol))
    assert list(got) == list(CONTENT)
    for key in ("floats", "columns", "big endian", "names"):
        np.testing.assert_array_equal(got[key], CONTENT[key])
        assert got[key].dtype == CONTENT[key].dtype.newbyteorder("=")
    assert list(got["objects"]) == ["a", 7]
    assert (got["scalar"], got["plain"], got["nested"]) == (60, CONTENT["plain"], {"list": [], "dict": {}})


def test_an_array_without_dimensions_is_its_object():
    assert read_pickle(pickle.dumps(np.array({"fps": 30}, dtype=object))) == {"fps": 30}


class Trap:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Plain:
    pass


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    "trap",
    [
        Trap(os.mkdir, "trap"),
        Trap(eval, "__import__('os').mkdir('trap')"),
        Trap(bytearray, 10**13),
        Trap(np.zeros, 10**13),
        Trap(np.load, "trap"),
        Plain(),
    ],
)
def test_a_pickle_that_calls_something_runs_nothing(tmp_path, monkeypatch, trap, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MotionError, match=r"the name '.*', which is not read"):
        read_pickle(pickle.dumps({"rotation": [trap]}, protocol=protocol))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged pickle"),
        (b"\x80\x03}", "damaged pickle"),  # no end
        (b"\x80\x03.", "damaged pickle"),  # nothing on the stack
        (b"(ios\nsystem\n.", "the name 'os.system'"),
        (b"cnumpy\ndtype\n(K\x01tR.", "an array of 1"),
        (b"cnumpy.core.multiarray\n_reconstruct\n}b.", "damaged pickle"),  # nothing is set on a stand-in
        (b"cnumpy.core.multiarray\nscalar\n(N}X\x01\x00\x00\x00xNstb.", "damaged pickle"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(tR}b.", "damaged array"),
        (b"h\x07.", "damaged pickle"),  # nothing was remembered
        (b"0." * 3, "damaged pickle"),
        (b"Nr\xff\xff\xff\x7f.", "more than 20000 opcodes"),  # would be remembered at place 2 ** 31 - 1
        (b"N" * 20_001 + b".", "more than 20000 opcodes"),
    ],
)
def test_anything_else_is_refused(data, reason):
    with pytest.raises(MotionError, match=reason):
        read_pickle(data)


def test_every_cut_is_refused():
    data = pickle.dumps(CONTENT, protocol=3)
    for end in range(len(data)):
        with pytest.raises(MotionError):
            read_pickle(data[:end])


def test_bytes_that_do_not_fill_the_array_are_refused():
    data = pickle.dumps(np.zeros(3, dtype=np.int8), protocol=3)
    assert data.count(b"K\x03\x85") == 1  # the shape (3,)
    with pytest.raises(MotionError, match=r"do not fill its shape \(9,\)"):
        read_pickle(data.replace(b"K\x03\x85", b"K\x09\x85"))


def test_the_deepest_nesting_that_is_read_can_be_hashed():
    assert read_pickle(b"\x80\x02})" + b"\x85" * 19_900 + b"Ns.")
