"""Malicious checkpoints (F8): nothing runs, nothing grows, everything is refused in words."""

import io
import os
import pickle
import struct
import time
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from checkpoint_files import refused

from manybody.engine.checkpoint import (
    FORMAT_KEY,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from manybody.engine.checkpoint.untrusted import MAX_PICKLE, check_pickle


class Storage:
    """Pickles as torch's reference to storage 0 of the archive, with any number of elements claimed."""

    def __init__(self, count):
        self.count = count


class Call:
    """Pickles as ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def forge(path, value, rename=None, compress=False, extra=()):
    """A checkpoint at ``path`` whose pickle holds ``value``, with correct checksums."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return ("storage", torch.FloatStorage, "0", "cpu", item.count) if isinstance(item, Storage) else None

    pickled = io.BytesIO()
    Pickler(pickled, 2).dump({FORMAT_KEY: 1, "model": {}, "evil": value})
    source = io.BytesIO()
    torch.save({"a": torch.zeros(10)}, source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            content = pickled.getvalue() if entry.filename.endswith("data.pkl") else old.read(entry)
            name = rename(entry.filename) if rename else entry.filename
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
        for name, content in extra:
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
        for entry in new.infolist():
            entry.external_attr = 0  # as torch writes it
    return path


def tensor_call(count, shape, stride):
    return Call(torch._utils._rebuild_tensor_v2, Storage(count), 0, shape, stride, False, OrderedDict())


def test_f8_the_forger_can_make_a_loadable_file(tmp_path):
    forge(tmp_path / "x.pth", tensor_call(10, (2, 5), (5, 1)))
    assert load_checkpoint(tmp_path / "x.pth")["evil"].shape == (2, 5)


def test_f8_no_code_runs(tmp_path):
    witness = tmp_path / "ran"
    error = refused(forge(tmp_path / "x.pth", Call(os.system, f"touch {witness}")))
    assert "posix.system" in str(error) and not witness.exists()
    for function in (eval, exec, __import__, open, getattr):
        refused(forge(tmp_path / "x.pth", Call(function, "1")))


@pytest.mark.parametrize(
    "value",
    [
        Call(bytearray, 10**10),
        Call(torch.FloatTensor, 10**10),
        Call(set, ()),
        Call(OrderedDict, [["a", 1]] * 10),  # a copy for a few bytes of pickle
        tensor_call(10, (10**12,), (1,)),
        tensor_call(10, (10**12,), (0,)),  # fits in the storage until somebody copies it
        tensor_call(10**12, (10,), (1,)),
    ],
    ids=["bytearray", "FloatTensor", "set", "OrderedDict", "shape", "stride 0", "storage"],
)
def test_f8_absurd_sizes_are_refused(tmp_path, value):
    refused(forge(tmp_path / "x.pth", value))


def test_f8_encodings_cannot_be_chained():
    import _codecs

    once = Call(_codecs.encode, "abc", "latin1")
    assert check_pickle(pickle.dumps(once, 2)) is None
    assert check_pickle(pickle.dumps([once, Call(_codecs.encode, "def", "latin1")], 2)) is None
    assert check_pickle(pickle.dumps(Call(_codecs.encode, "abc", "hex"), 2))
    assert check_pickle(pickle.dumps(Call(_codecs.encode, once, "hex"), 2))
    long = "a" * 17  # data of an array; a second time it would cost the file next to nothing
    assert check_pickle(pickle.dumps(Call(_codecs.encode, long, "latin1"), 2)) is None
    assert check_pickle(pickle.dumps([Call(_codecs.encode, long, "latin1")] * 2, 2)) is None  # one object, twice
    assert check_pickle(pickle.dumps([Call(_codecs.encode, x, "latin1") for x in (long, long)], 2))


def test_f8_nested_and_repeated_structures_stay_small(tmp_path):
    level = [1]
    for _ in range(60):  # 2^60 leaves when walked without care
        level = [level, level]
    forge(tmp_path / "x.pth", level)
    assert load_checkpoint(tmp_path / "x.pth")["evil"]


def test_f8_containers_too_deep_in_each_other(tmp_path):
    level = [1]
    for _ in range(300):
        level = [level]
    assert "nested more than 100 deep" in str(refused(forge(tmp_path / "x.pth", level)))


def test_arrays_of_an_environment(tmp_path):
    arrays = {
        "float": np.linspace(0.0, 1.0, 30, dtype=np.float32).reshape(5, 6),
        "transposed": np.arange(6).reshape(2, 3).T,
        "flags": np.array([True, False]),
        "bytes": np.array(range(256), np.uint8),
        "one": np.array(2.5),
        "big-endian": np.arange(3, dtype=">i4"),
    }
    forge(tmp_path / "theirs.pth", {key: (x, [x]) for key, x in arrays.items() if key != "big-endian"})
    save_checkpoint(tmp_path / "ours.pth", {"model": {}, "evil": {key: (x, [x]) for key, x in arrays.items()}})
    for file in ("theirs.pth", "ours.pth"):
        loaded = load_checkpoint(tmp_path / file)["evil"]
        for key, (one, (other,)) in loaded.items():
            assert type(one) is np.ndarray and one.dtype.kind == arrays[key].dtype.kind
            np.testing.assert_array_equal(one, arrays[key])
            np.testing.assert_array_equal(other, arrays[key])


def test_f8_forged_arrays(tmp_path):
    """Sizes that lie, objects, and calls of the class itself."""
    import numpy.core.multiarray as multiarray  # the name in the file; the stand-in never runs numpy's

    class Forged:
        def __init__(self, shape, dtype, data):
            self.state = (1, shape, dtype, False, data)

        def __reduce__(self):
            return multiarray._reconstruct, (np.ndarray, (0,), b"b"), self.state

    assert load_checkpoint(forge(tmp_path / "x.pth", Forged((3,), np.dtype("u1"), b"abc")))["evil"].tolist() == [
        97,
        98,
        99,
    ]
    refused(forge(tmp_path / "x.pth", Forged((10**12,), np.dtype("u1"), b"abc")))
    refused(forge(tmp_path / "x.pth", Forged((10**6, 10**6, 0), np.dtype("f8"), b"abc")))
    refused(forge(tmp_path / "x.pth", Forged((1,), np.dtype("O"), [1])))
    refused(forge(tmp_path / "x.pth", Forged((10**12,), np.dtype("u1"), 10**12)))
    refused(forge(tmp_path / "x.pth", Call(np.ndarray, (10**12,))))
    refused(forge(tmp_path / "x.pth", np.array([object()], dtype=object)))


def test_f8_a_pickle_as_long_as_allowed_is_judged_within_a_second(tmp_path):
    forge(tmp_path / "x.pth", [None] * (MAX_PICKLE - 5000))  # one byte each: the most instructions that fit
    start = time.process_time()  # which other processes do not lengthen
    verify_checkpoint(tmp_path / "x.pth")
    assert time.process_time() - start < 2.0  # some 0.7 s on an idle core
    forge(tmp_path / "x.pth", [None] * (MAX_PICKLE + 5000))
    refused(tmp_path / "x.pth")


@pytest.mark.slow
def test_f8_zip_tricks_are_refused(tmp_path):
    path = tmp_path / "x.pth"
    assert "compressed" in str(refused(forge(path, 1, compress=True, extra=[("archive/bomb", b"\0" * 50_000_000)])))
    for name in ("../../outside", "/etc/outside", "archive/../../outside", "a\\b"):
        assert "entry path" in str(refused(forge(path, 1, extra=[(name, b"x")])))
    with pytest.warns(UserWarning, match="Duplicate"):
        forge(path, 1, extra=[("archive/data/0", b"\0" * 40)])
    assert "two entries" in str(refused(path))
    refused(forge(path, 1, rename=lambda name: name.replace("data.pkl", "code.pkl")))
    refused(forge(path, 1, extra=[(f"archive/{number}", b"") for number in range(40_000)]))
    assert not (tmp_path.parent / "outside").exists()


def test_f8_a_lying_table_of_contents_is_refused(good):
    whole = bytearray(good.read_bytes())
    whole[-10:-6] = struct.pack("<I", 1 << 30)
    good.write_bytes(whole)
    assert "table of contents" in str(refused(good))


# a run's folder
