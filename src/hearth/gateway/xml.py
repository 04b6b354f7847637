"""XML in and out. Out: everything is escaped. In: no document types, so no entities, and a limit on depth."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from hearth.gateway.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_MAX_DEPTH = 16
_MAX_ELEMENTS = 100_000
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_SPECIAL = re.compile("[&<>\"'\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")


class Markup(str):
    """Text that is XML already."""

    __slots__ = ()


def element(name: str, *content: str | int) -> Markup:
    """Return an element; what is no Markup in it is escaped."""
    inside = "".join(each if isinstance(each, Markup) else _escape(str(each)) for each in content)
    return Markup(f"<{name}>{inside}</{name}>")


def document(name: str, *content: str | int, namespace: bool = True) -> bytes:
    """Return a whole document."""
    root = element(name, *content)
    if namespace:
        root = Markup(f'<{name} xmlns="{NAMESPACE}">{root[len(name) + 2 :]}')
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}'.encode()


@dataclass(slots=True)
class Element:
    """A parsed element; names are without their namespace."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> list[Element]:
        """Return the children of that name."""
        return [child for child in self.children if child.name == name]

    def value(self, name: str) -> str | None:
        """Return the text of the child of that name."""
        return next((child.text for child in self.children if child.name == name), None)


def parse(data: bytes, root: str) -> Element:
    """Return the root element, which must be called `root`; S3Error when it is no such XML."""
    top = Element("")
    open_elements: list[tuple[Element, list[str]]] = [(top, [])]
    count = 0

    def start(name: str, _attributes: object) -> None:
        nonlocal count
        count += 1
        if len(open_elements) > _MAX_DEPTH or count > _MAX_ELEMENTS:
            raise S3Error(
                "MalformedXML", f"The XML has more than {_MAX_ELEMENTS} elements, or nested over {_MAX_DEPTH}"
            )
        child = Element(name.rpartition(" ")[2])
        open_elements[-1][0].children.append(child)
        open_elements.append((child, []))

    def end(_name: str) -> None:
        ended, texts = open_elements.pop()
        ended.text = "".join(texts)

    def characters(text: str) -> None:
        open_elements[-1][1].append(text)

    def doctype(*_: object) -> None:
        raise S3Error("MalformedXML", "The XML has a document type; send it without")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise S3Error("MalformedXML", f"The body is no XML: {error}") from None
    found = top.children[0]
    if found.name != root:
        raise S3Error("MalformedXML", f"The XML is <{found.name}>, not <{root}>")
    return found


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0]) or f"&#x{ord(found[0]):x};", text)
