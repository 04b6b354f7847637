"""How chunks make one stream."""

import pytest

from hearth.domain.output import Lead, cut, lead_of, leaves_open, merged


@pytest.mark.parametrize(
    ("tail", "lead"),
    [(None, Lead.PREFIX), ((3, 1), Lead.CONTINUE), ((3, 2), Lead.BREAK), ((4, 1), Lead.BREAK)],
)
def test_the_lead_depends_on_whose_line_is_open(tail, lead):
    assert lead_of(tail, 3, 1) is lead


@pytest.mark.parametrize(
    ("data", "lead", "shown"),
    [
        (b"", Lead.BREAK, b""),
        (b"a\nb\n", Lead.PREFIX, b"3> a\n3> b\n"),
        (b"a\nb", Lead.PREFIX, b"3> a\n3> b"),
        (b"c\nd\n", Lead.CONTINUE, b"c\n3> d\n"),
        (b"\n", Lead.CONTINUE, b"\n"),
        (b"\n\n", Lead.PREFIX, b"3> \n3> \n"),
        (b"a\n", Lead.BREAK, b"\n3> a\n"),
    ],
)
def test_each_line_begins_with_its_instance(data: bytes, lead: Lead, shown: bytes):
    assert merged(data, 3, lead) == shown


def test_a_line_is_open_until_its_end_comes():
    assert [leaves_open(data) for data in (b"", b"a", b"a\n", b"\n", b"\nb")] == [False, True, False, False, True]


@pytest.mark.parametrize(
    ("data", "limit", "flush", "sent"),
    [
        (b"ab\ncd", 64, False, 3),
        (b"abcd", 64, False, 0),
        (b"abcd", 64, True, 4),
        (b"ab\ncd", 64, True, 5),
        (b"abcdef", 4, False, 4),
        (b"ab\ncdef", 4, False, 3),
        (b"ab\ncdef", 4, True, 3),
        ("abé".encode(), 64, True, 4),
        ("abé".encode()[:3], 64, True, 2),
        ("aé€😀".encode(), 9, False, 6),
        ("aé€😀".encode(), 5, False, 3),
        (b"\xff\xff\xff\xff\xff", 4, False, 4),
        (b"\x80\x80\x80\x80\x80", 5, True, 5),
        (b"", 4, True, 0),
    ],
)
def test_a_cut_is_at_the_end_of_a_line_or_of_a_character(data: bytes, limit: int, flush: bool, sent: int):
    assert cut(data, limit=limit, flush=flush) == sent
