"""The upstream reads uploads strictly, so that a form that it took is one that a vendor takes."""

import pytest

from tests.upstream.files import Files, Upload, uploaded

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nagent\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\none\r\n\r\n--\r\n--b--\r\n'
)
TYPE = "multipart/form-data; boundary=b"


def test_a_form_gives_name_purpose_and_content() -> None:
    assert uploaded(TYPE, FORM) == Upload("a.txt", "agent", b"one\r\n\r\n--")


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", FORM),
        (TYPE.replace("=b", "=c"), FORM),
        (TYPE, FORM.removesuffix(b"--\r\n")),
        (TYPE, FORM.removesuffix(b"\r\n")),
        (TYPE, b"x" + FORM),
        (TYPE, FORM + b"x"),
        (TYPE, FORM.replace(b'; name="purpose"', b"")),
        (TYPE, FORM.replace(b"purpose", b"other")),
        (TYPE, FORM.replace(b'; filename="a.txt"', b"")),
        (TYPE, b""),
    ],
)
def test_what_is_no_such_form_is_refused(content_type: str, form: bytes) -> None:
    with pytest.raises(ValueError, match=r"form|name"):
        uploaded(content_type, form)


def test_files_are_told_apart_by_the_key() -> None:
    files = Files()
    made = files.add("mine", Upload("a.txt", "agent", b"one"))
    assert files.page("another", {})["data"] == []
    assert files.content("another", made["id"]) is None
    assert not files.delete("another", made["id"])
    assert files.delete("mine", made["id"])
