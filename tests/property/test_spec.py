"""What was asked for comes back from the store as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hearth.domain.spec import TaskSpec
from hearth.store.queries.tasks import spec_from_json, spec_to_json
from tests.property import laws  # noqa: F401

st.register_type_strategy(str, st.text(max_size=5))
JSON = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(object, JSON | st.text(max_size=5))


@given(st.from_type(TaskSpec))
def test_a_specification_is_read_back_as_it_was_written(spec: TaskSpec):
    assert spec_from_json(spec_to_json(spec)) == spec


def test_a_stored_specification_without_newer_fields_gets_their_defaults():
    assert spec_from_json("{}") == TaskSpec()
