from tests.reliability.part import measured


def test_a_part_that_breaks_is_a_failure_and_is_told() -> None:
    told: list[str] = []
    assert measured("no_such_part", True, told.append) == {"parts_broken": 1}
    assert told[0].startswith("no_such_part")
    assert told[0].endswith("broken, see above")
