"""The properties have teeth: each broken copy of the domain is noticed by the one that should."""

import pytest

from tests.property.mutants import MUTANTS, survivors


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_mutant_is_caught():
    assert survivors(MUTANTS) == []
