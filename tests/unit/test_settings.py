"""Settings of hardware come as options, variables and TOML, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.domain.errors import Invalid
from hearth.settings import load

ALIASES = {"8c-32g-amd-rz3700x": "4c-16g", "Ryzen 1700X": ""}


def test_aliases_are_a_table_in_the_file(tmp_path: Path):
    (tmp_path / "hearth.toml").write_text(
        'unknown_hardware = "wait"\n[specification_aliases]\n"8c-32g-amd-rz3700x" = "4c-16g"\n"Ryzen 1700X" = ""\n'
    )
    found = load({"data": tmp_path}, {})
    assert (found.specification_aliases, found.unknown_hardware) == (ALIASES, "wait")


def test_aliases_are_text_in_variables_and_options(tmp_path: Path):
    text = "8c-32g-amd-rz3700x=4c-16g, Ryzen 1700X="
    assert load({"data": tmp_path}, {"HEARTH_SPECIFICATION_ALIASES": text}).specification_aliases == ALIASES
    assert load({"data": tmp_path, "specification_aliases": text}, {}).specification_aliases == ALIASES
    assert load({"data": tmp_path, "specification_aliases": ""}, {}).specification_aliases == {}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"specification_aliases": "nothing"}, "specification_aliases: 'nothing' is not a list like"),
        ({"specification_aliases": {"a": 1}}, "specification_aliases: {'a': 1} is not a table of texts"),
        ({"unknown_hardware": "maybe"}, "unknown_hardware: 'maybe' is none of refuse, wait, ignore"),
        ({"node_ssd": "perhaps"}, "node_ssd: 'perhaps' is none of auto, yes, no"),
        ({"node_gpus": "two"}, "node_gpus: 'two' is not a number"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(tmp_path: Path, values: dict[str, object], told: str):
    with pytest.raises(Invalid) as refused:
        load({"data": tmp_path, **values}, {})
    assert told in refused.value.message
