"""What is written down of the API's fields is as the tests are."""

from tests.reference.field_table import PAGE, table


def test_every_field_of_tasks_has_a_test_and_the_page_says_which() -> None:
    page, missing = table()
    assert missing == []
    assert PAGE.read_text() == page, "tools/field-table writes it anew"
