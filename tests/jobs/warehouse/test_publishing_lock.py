import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier

import pytest

from jobs.errors import PublishingLockError, StoreError
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.publishing_lock import PublishingLock

FOLDER = "_locks/business_date=2026-11-20"


def lock(store: ObjectStore, run_id: str, stale_seconds: float = 240) -> PublishingLock:
    return PublishingLock(store, FOLDER, "business date 2026-11-20", run_id, stale_seconds)


def numbers(store: ObjectStore) -> list[str]:
    return sorted(entry.key.removeprefix(f"{FOLDER}/") for entry in store.list(FOLDER))


def test_a_held_lock_refuses_another_run_and_names_the_holder_and_its_age(store: ObjectStore) -> None:
    sentence = (
        r"business date 2026-11-20 is being published by run 'first' \(process \d+ on \S+\), last heard of \d+ s ago; "
        "try again when that process has ended, or, if it is dead, 240 s after its last sign of life"
    )
    with lock(store, "first").held(), pytest.raises(PublishingLockError, match=sentence), lock(store, "second").held():
        pytest.fail("two hold the lock")


def test_a_held_lock_refuses_another_process_of_the_same_run(store: ObjectStore) -> None:
    with lock(store, "run").held(), pytest.raises(PublishingLockError), lock(store, "run").held():
        pytest.fail("two hold the lock")


def test_a_lock_let_go_can_be_taken_and_leaves_one_small_object(store: ObjectStore) -> None:
    with lock(store, "first").held():
        pass
    with lock(store, "second").held() as held:
        held.renew()
    assert numbers(store) == ["00000005.json"]
    assert not json.loads(store.read(f"{FOLDER}/00000005.json"))["is_held"]


def test_a_lock_is_let_go_when_publishing_breaks(store: ObjectStore) -> None:
    with pytest.raises(ZeroDivisionError), lock(store, "first").held():
        raise ZeroDivisionError
    with lock(store, "second").held():
        pass


def test_a_lock_not_renewed_in_time_is_taken_over_and_its_old_holder_stops(store: ObjectStore) -> None:
    sentence = (
        "stops publishing business date 2026-11-20: it gave no sign of life for 240 s and lost its lock to run 'retry'"
    )
    with lock(store, "zombie").held() as zombie, lock(store, "retry", stale_seconds=0).held() as retry:
        with pytest.raises(PublishingLockError, match=sentence):
            zombie.renew()
        retry.renew()


def test_the_old_holder_of_a_lock_does_not_let_go_of_its_successors(store: ObjectStore) -> None:
    retry = lock(store, "retry", stale_seconds=0)
    with lock(store, "zombie").held():
        taken = retry.held()
        taken.__enter__()
    with pytest.raises(PublishingLockError, match="run 'retry'"), lock(store, "third").held():
        pytest.fail("the zombie let go of the retry's lock")
    taken.__exit__(None, None, None)


def test_a_renewed_lock_is_not_stale(store: ObjectStore) -> None:
    with lock(store, "first").held() as held:
        age(store, seconds=300)
        held.renew()
        with pytest.raises(PublishingLockError), lock(store, "second").held():
            pytest.fail("two hold the lock")


@pytest.mark.parametrize("is_stale", [False, True], ids=["free", "left by a dead process"])
def test_of_many_takers_at_once_one_wins(store: ObjectStore, is_stale: bool) -> None:
    takers = 8
    for _ in range(5):
        if is_stale:
            lock(store, "dead").held().__enter__()
            age(store, seconds=300)
        together, done = Barrier(takers), Barrier(takers)

        def take(name: int, together: Barrier = together, done: Barrier = done) -> bool:
            together.wait()
            try:
                with lock(store, f"run-{name}").held():
                    done.wait()
                    return True
            except PublishingLockError:
                done.wait()
                return False

        with ThreadPoolExecutor(takers) as pool:
            assert sum(pool.map(take, range(takers))) == 1


def test_a_taker_that_comes_late_to_a_number_long_passed_has_no_lock(store: ObjectStore) -> None:
    """It judged number 1 free, and slept while others used and deleted number 2."""
    late = lock(store, "late")
    with lock(store, "first").held():
        pass
    passed = late._latest()
    with lock(store, "second").held() as held:
        held.renew()
        answers = iter([passed])
        object.__setattr__(late, "_latest", lambda: next(answers, None) or PublishingLock._latest(late))
        with pytest.raises(PublishingLockError, match="run 'second'"), late.held():
            pytest.fail("two hold the lock")
        held.renew()


def age(store: ObjectStore, seconds: int) -> None:
    """Let the lock look as if it was last renewed so long ago."""
    number, state = lock(store, "reader")._latest()
    assert state is not None
    renewed_at = datetime.fromisoformat(state.renewed_at) - timedelta(seconds=seconds)
    older = replace(state, renewed_at=renewed_at.isoformat())
    store.write(f"{FOLDER}/{number:08}.json", json.dumps(vars(older)).encode())


def test_a_lock_whose_taking_got_no_answer_is_let_go_of(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    create = ObjectStore.create

    def create_and_lose_the_answer(self: ObjectStore, key: str, content: bytes) -> bool:
        create(self, key, content)
        raise StoreError("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "create", create_and_lose_the_answer)
        with pytest.raises(StoreError, match="the answer was lost"), lock(store, "run-1").held():
            pytest.fail("nobody knows whether the lock is held")
    with lock(store, "run-2").held():
        assert len(numbers(store)) == 1
