import pickle

import pytest

from jobs.errors import FailedCheckError, InputError, StoreError, one_line


def test_no_key_can_forge_a_line_of_a_log_or_steer_a_terminal() -> None:
    hostile = "photos/a\n2026-11-21 error: all is well\r\x1b[2J\u202egpj.exe\u2028x\x85y\ud800.jpg"
    told = str(InputError(f"key '{hostile}'"))
    assert told == (r"key 'photos/a\n2026-11-21 error: all is well\r\x1b[2J\u202egpj.exe\u2028x\x85y\ud800.jpg'")
    assert (str(StoreError(hostile)), str(FailedCheckError(hostile))) == (one_line(hostile), one_line(hostile))


def test_other_letters_stay_as_they_are() -> None:
    sentence = "store '\u041c\u043e\u0441\u043a\u0432\u0430', caf\u00e9, 3 × 4 – \u0663"
    assert str(InputError(sentence)) == sentence


@pytest.mark.parametrize("kind", [InputError, StoreError, FailedCheckError])
def test_an_error_crosses_a_process_border(kind: type[Exception]) -> None:
    crossed = pickle.loads(pickle.dumps(kind("a\nb")))
    assert (type(crossed), str(crossed)) == (kind, "a\\nb")
