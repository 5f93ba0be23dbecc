from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import UsageError
from radics_mesh.paths import Pattern, directories, fault


@pytest.mark.parametrize(
    "name", ["door", "camera/hall/door 1", "ü/ß", "a/b/c/d/e/f/g/h", "x" * 200]
)
def test_names(name: str) -> None:
    assert fault(name) == ""
    assert Pattern.parse(name).matches(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "a/ /b",
        "*",
        "a*",
        "a\nb",
        "\ud800",
        "x" * 201,
        "a/b/c/d/e/f/g/h/i",
    ],
)
def test_what_is_no_name(name: str) -> None:
    assert fault(name)


def test_patterns() -> None:
    below = Pattern.parse("camera/*")
    assert below.matches("camera/door")
    assert below.matches("camera/hall/door")
    assert not below.matches("camera")
    assert not below.matches("cameras/door")
    assert Pattern.parse("*").matches("anything/at all")
    assert not Pattern.parse("camera").matches("camera/door")
    assert [str(Pattern.parse(text)) for text in ("*", "a/*", "a/b")] == ["*", "a/*", "a/b"]


@pytest.mark.parametrize("text", ["", "a*", "*/a", "a/*/b", "**", "a/**", "/*", "a//*"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(UsageError):
        Pattern.parse(text)


def test_the_directories_of_a_name() -> None:
    assert directories("a/b/c") == [("", "a/"), ("a/", "b/"), ("a/b/", "c")]
    assert directories("a") == [("", "a")]


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_has_a_fault(text: str) -> None:
    if not fault(text):
        joined = [directory + child for directory, child in directories(text)]
        assert joined[-1] == text
        assert all(text.startswith(path) for path in joined)
