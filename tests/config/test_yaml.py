"""load_yaml: safe reading, refusals that name file and line, marks that survive."""

import copy
import pickle
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.config import ConfigError, ConfigWarning, load_yaml


@pytest.fixture
def write(tmp_path):
    def _write(content):
        path = tmp_path / "run.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def test_plain_data(write):
    data = load_yaml(write("a: 1\nb: [0.5, yes, null, text]\nc: {d: 3e-4, e: 2024-01-02}\n"))
    assert data == {"a": 1, "b": [0.5, True, None, "text"], "c": {"d": "3e-4", "e": "2024-01-02"}}


def test_a_byte_order_mark_is_no_text(write):
    assert load_yaml(write(b"\xef\xbb\xbfa: 1\n")) == {"a": 1}


def test_aliases_and_merge_keys(write):
    data = load_yaml(write("base: &base {a: 1, b: 2}\nuse:\n  <<: *base\n  b: 3\nlist: [*base]\n"))
    assert data["use"] == {"a": 1, "b": 3}
    assert data["list"] == [{"a": 1, "b": 2}]


def test_merging_a_list_of_blocks_the_earlier_wins(write):
    data = load_yaml(write("one: &one {a: 1}\ntwo: &two {a: 2, b: 2}\nuse: {<<: [*one, *two]}\n"))
    assert data["use"] == {"a": 1, "b": 2}


REFUSED = {
    "duplicate key": ("a: 1\nb: 2\na: 3\n", 3, "'a' is there twice, first in line 1"),
    "nested duplicate key": ("x:\n  a: 1\n  a: True\n", 3, "'a' is there twice, first in line 2"),
    "tab": ("a:\n\tb: 1\n", 2, "tab"),
    "tab in a continued text": ("a: one\n \ttwo\n", 2, "tab"),
    "python object": (
        "a: 1\nb: !!python/object/apply:os.system ['true']\n",
        2,
        "!!python/object/apply:os.system",
    ),
    "python name": ("a: !!python/name:os.system\n", 1, "!!python/name:os.system"),
    "own tag": ("a: !secret 3\n", 1, "!secret"),
    "set": ("a: !!set {x, y}\n", 1, "!!set"),
    "binary": ("a: !!binary aGk=\n", 1, "!!binary"),
    "empty file": ("", None, "empty"),
    "only a comment": ("# nothing\n", None, "empty"),
    "list at the top": ("- a\n- b\n", 1, "a list"),
    "value at the top": ("hello\n", 1, "a single value"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "document"),
    "not YAML": ("a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
    "unknown alias": ("a: *nothing\n", 1, "nothing"),
    "alias to itself": ("a: &a [1, *a]\n", 1, "refers to the block"),
    "key that is no text": ("true: 1\n", 1, "put it in quotes"),
    "key that is a list": ("? [a, b]\n: 1\n", 1, "put it in quotes"),
    "merge of a number": ("a: &a 3\nb: {<<: *a}\n", 1, "'<<' takes a mapping"),
    "wrong explicit type": ("a: 1\nb: !!int many\n", 2, "not readable as int"),
    "absurd integer": (f"a: 1\nb: {'9' * 5000}\n", 2, "not readable as int"),
    "not UTF-8": (b"a: 1\nb: caf\xe9\n", 2, "0xe9 is not UTF-8"),
    "UTF-16": ("a: 1\n".encode("utf-16"), 1, "not UTF-8"),
    "control character": ("a: 1\nb: x\x00y\n", 2, "not allowed"),
    "deep nesting": ("a: " + "[" * 2000, None, "nested too deeply"),
    "too large": ("a: 1\n" + "#" * (256 * 1024), None, "more than 256 KiB"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_file_and_line(write, case):
    content, line, words = REFUSED[case]
    path = write(content)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    (problem,) = caught.value.problems
    assert problem.location == (f"{path}:{line}" if line else str(path))
    assert words in problem.message
    assert str(path) in str(caught.value)


def test_an_alias_bomb_is_refused_at_once(write):
    # Nine levels of ten aliases each: 10^9 values if they were expanded.
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9)]
    start = time.perf_counter()
    with pytest.raises(ConfigError, match="aliases expand to more than"):
        load_yaml(write("\n".join(levels)))
    assert time.perf_counter() - start < 2


def test_a_merge_bomb_is_refused_at_once(write):
    levels = ["l0: &l0 {a: 1}"]
    levels += [f"l{i}: &l{i} {{k{i}: 1, <<: [{', '.join([f'*l{i - 1}'] * 10)}]}}" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="aliases expand to more than"):
        load_yaml(write("\n".join(levels)))


def test_code_in_a_tag_does_not_run(write, tmp_path):
    victim = tmp_path / "victim"
    with pytest.raises(ConfigError):
        load_yaml(write(f"a: !!python/object/apply:os.mkdir ['{victim}']\n"))
    assert not victim.exists()


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="not a regular file"):
        load_yaml(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        load_yaml("a\0b.yaml")


def test_lines_are_known_at_every_depth_and_in_copies(write):
    path = write("a:\n  b:\n    c: 1\nd: [{e: 2}]\n")
    data = load_yaml(path)
    for twin in (data, copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert twin == data
        assert twin["a"].where("b") == f"{path}:2"
        assert twin["a"]["b"].where("c") == f"{path}:3"
        assert twin["d"][0].where("e") == f"{path}:4"


def test_a_value_that_is_set_later_is_not_blamed_on_the_file(write):
    data = load_yaml(write("a: 1\nb: 2\n"))
    data["a"] = 3
    del data["b"]
    assert data.where("a") is None
    assert data.where("b") is None
    assert data.where("unheard of") is None


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.sampled_from(list("ab1:-[]{},&*<!|>?%@`'\"# \n\t.~\x07é")), max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any", numbered=True) / "any.yaml"
    path.write_text(text)
    try:
        assert isinstance(load_yaml(path), dict)
    except ConfigError as error:
        assert str(path) in str(error)


def test_a_key_that_is_there_twice_with_the_same_value_is_noticed(write):
    path = write("x:\n  ppo: True\n  name: a\n  ppo: True\n")
    said = r":4: the key 'ppo' is there twice, first in line 2, with the same value"
    with pytest.warns(ConfigWarning, match=said):
        assert load_yaml(path) == {"x": {"ppo": True, "name": "a"}}
