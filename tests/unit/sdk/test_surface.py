"""Every name that scripts for the official SDK use exists here, with the same parameters."""

import importlib
import inspect
import re
from enum import Enum
from pathlib import Path

import pytest

import qarnot

LISTED = Path(__file__).with_name("surface.txt").read_text().splitlines()

# What a constructor is given to look at the attributes of its objects.
SAMPLES = {"json": {}, "info": {}, "days": [], "policies": [], "amount_in_euros": 1.5}


def surface():
    """Yield each class, as module.Class, with its members."""
    name, members = "", ""
    for line in [*LISTED, "end"]:
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            if name:
                yield name, [member.strip() for member in members.split(";") if member.strip()]
            name, members = line, ""
        else:
            members += " " + line.strip()


SURFACE = dict(surface())
MEMBERS = [pytest.param(name, member, id=f"{name}.{member}") for name, members in SURFACE.items() for member in members]


def the_class(name):
    module, _, kind = name.rpartition(".")
    return getattr(importlib.import_module(f"qarnot.{module}"), kind)


def parameters(function):
    """Return the parameters as they would be written, without annotations."""
    listed = inspect.signature(function).parameters.values()
    return ", ".join(
        item.name if item.default is item.empty else f"{item.name}={item.default!r}"
        for item in listed
        if item.name != "self"
    )


def sample(kind, connection):
    """Return an object of a class, made of next to nothing."""
    if kind is qarnot.Connection:
        return connection
    needed = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    known = {**SAMPLES, "connection": connection}
    return kind(**{item.name: known.get(item.name, "x") for item in needed})


def test_the_list_is_read():
    assert len(SURFACE) > 90
    assert SURFACE["privileges.Privileges"][0] == "__init__(exportCredentialsInEnv=False)"


@pytest.mark.parametrize("name", SURFACE)
def test_a_class_exists(name):
    assert inspect.isclass(the_class(name))


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_a_member_is_as_documented(name, member, connection):
    kind = the_class(name)
    if call := re.fullmatch(r"(\w+)\((.*)\)", member):
        bound = kind if call[1] == "__init__" else getattr(kind, call[1])
        assert parameters(bound) == call[2]
    elif place := re.fullmatch(r"(\w+) (ro|rw)", member):
        found = inspect.getattr_static(kind, place[1])
        assert isinstance(found, property)
        assert (found.fset is not None) or place[2] == "ro"
        assert found.__doc__
    else:
        owner = kind if issubclass(kind, Enum) or hasattr(kind, member) else sample(kind, connection)
        assert hasattr(owner, member)


@pytest.mark.parametrize("name", SURFACE)
def test_a_class_and_its_methods_are_documented(name):
    kind = the_class(name)
    assert kind.__doc__
    for member in SURFACE[name]:
        if (call := re.fullmatch(r"([a-z]\w+)\(.*\)", member)) and not issubclass(kind, Exception):
            assert inspect.getdoc(getattr(kind, call[1])), member


def test_exceptions_have_the_documented_ancestors():
    from qarnot import exceptions

    outside = {"MissingJobException", "MaxJobException", "SecretNotFoundException", "SecretConflictException"}
    for name in exceptions.__all__:
        assert issubclass(getattr(exceptions, name), exceptions.QarnotException) == (name not in outside)


def test_the_package_offers_its_entry_points():
    assert qarnot.Connection is qarnot.connection.Connection
    assert qarnot.Secrets.__name__ == "Secrets"
    assert re.fullmatch(r"v\d+\.\d+\.\d+", qarnot.__version__)


def test_an_answer_outside_2xx_can_be_raised_by_hand():
    import httpx

    qarnot.raise_on_error(httpx.Response(200))
    with pytest.raises(qarnot.exceptions.QarnotGenericException, match="Error: no"):
        qarnot.raise_on_error(httpx.Response(400, json={"message": "no"}))
