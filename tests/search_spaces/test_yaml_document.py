import pytest

from search_spaces.errors import InvalidValue, SpaceError
from search_spaces.yaml_document import parse_document, read_document


def value_of(text):
    return parse_document("file.yaml", text).value


def message_of(text):
    with pytest.raises(SpaceError) as caught:
        parse_document("file.yaml", text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5e-4", 0.0005),
        ("2.", 2.0),
        ("-.5", -0.5),
        ("20_000", 20_000),
        ("010", 10),
        ("+3", 3),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2024-01-31", "2024-01-31"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        (">=100", None),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    if text == ">=100":  # a bare > begins a folded text; conditions have to be quoted
        assert "not valid YAML" in message_of(text)
        return
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_anchors_and_merges():
    text = "base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\nboth: {<<: [{a: 4}, *base]}\n"
    assert value_of(text)["other"] == {"a": 1, "b": 3}
    assert value_of(text)["both"] == {"a": 4, "b": 2}


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", 1, "occurs twice, again in line 3"),
        ("a: 1\nb: [1, 2\n", 3, "not valid YAML"),
        ("a: &x [*x]\n", 1, "contains itself"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "not supported"),
        ("a: !!binary aGk=\n", 1, "not supported"),
        ("a:\n  ? [1, 2]\n  : 3\n", 1, "not plain text"),
        ("a: !!int x\n", 1, "not a number"),
        ("a: " + "9" * 5000, 1, "not a number"),
        ('a: "x\\0y"\n', 1, "control character"),
        ('a: "\\ud800"\n', 1, "control character"),
        ("<<: 3\n", 1, "merges mappings only"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
    ],
)
def test_what_is_not_clear_is_an_error_with_its_line(text, line, part):
    message = message_of(text)
    assert message.startswith(f"file.yaml:{line}: ")
    assert part in message


def test_anchors_cannot_multiply():
    laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for last, name in zip("abcdefgh", "bcdefghi", strict=True):
        laughs += f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]\n"
    assert "multiply" in message_of(laughs)


def test_deep_nesting_is_an_error():
    assert "nested too deeply" in message_of("[" * 20_000)


def test_errors_name_the_line_of_the_deepest_part_that_exists():
    document = parse_document("file.yaml", "a:\n  b:\n    - 1\n    - c: 2\n")
    assert document.line(("a", "b", 1, "c")) == 4
    assert document.line(("a", "b", 1, "d")) == 4
    assert document.line(("a", "x")) == 1
    assert (
        str(document.error(InvalidValue("wrong", ("a", "b", 1, "c"))))
        == "file.yaml:4: a.b[1].c: wrong"
    )


def test_unreadable_files(tmp_path):
    with pytest.raises(SpaceError, match="no such file"):
        read_document(tmp_path / "absent.yaml")
    with pytest.raises(SpaceError, match="not a file"):
        read_document(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(SpaceError, match="byte 9 is not UTF-8"):
        read_document(latin)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 1_000_001)
    with pytest.raises(SpaceError, match="1,000,000 bytes"):
        read_document(large)
    with pytest.raises(SpaceError, match="cannot be read"):
        read_document(tmp_path / ("x" * 5000))


def test_a_byte_order_mark_is_no_content(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x")
    assert read_document(path).value == {"name": "x"}
