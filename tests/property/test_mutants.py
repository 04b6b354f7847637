"""The properties have teeth: each broken copy of the program is noticed by the one that should."""

import pytest

from tests.property.mutants import CLUSTER_MUTANTS, MUTANTS, survivors


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_mutant_of_the_domain_is_caught():
    assert survivors(MUTANTS) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mutants_of_the_whole_cluster_are_caught_by_the_simulation():
    assert survivors(CLUSTER_MUTANTS[:9]) == []
