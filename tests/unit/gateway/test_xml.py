"""XML in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.gateway.errors import S3Error
from hearth.gateway.xml import document, element, parse


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff")))
def test_what_is_written_is_read_again(text: str) -> None:
    """Mutant caught: leaving out the escape of &."""
    written = document("Root", element("Key", text), element("Twice", element("Key", text)))
    root = parse(written, "Root")
    assert (root.value("Key"), root.all("Twice")[0].value("Key")) == (text, text)


def test_lines_and_tabs_survive() -> None:
    assert parse(document("Root", element("Key", "a\r\n\tb")), "Root").value("Key") == "a\r\n\tb"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<Delete>",
        b"<Other/>",
        b'<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>',
        b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><Delete/>',
        b"<Delete>" * 100_000,
        b"<Delete>" + b"<a/>" * 100_001 + b"</Delete>",
        b'<?xml version="1.0" encoding="nonsense"?><Delete/>',
        b"<Delete>\xff</Delete>",
    ],
)
def test_what_is_no_such_xml_is_the_clients_error(body: bytes) -> None:
    with pytest.raises(S3Error) as refused:
        parse(body, "Delete")
    assert refused.value.code == "MalformedXML"
