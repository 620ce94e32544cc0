from threading import Event, Thread

import pytest

from fairgen.engine.background import background


def test_all_work_is_done_at_the_end_of_the_block():
    done = []
    with background(waiting=3) as submit:
        for i in range(50):
            submit(done.append, i)
    assert sorted(done) == list(range(50))


def test_no_more_work_waits_than_allowed():
    gate, accepted = Event(), []

    def fill():
        with background(waiting=3) as submit:
            for number in range(10):
                submit(gate.wait, 30)
                accepted.append(number)

    thread = Thread(target=fill)
    thread.start()
    thread.join(0.3)
    assert len(accepted) == 3
    gate.set()
    thread.join(30)
    assert len(accepted) == 10


def fails_first(done, number):
    if number == 0:
        raise ZeroDivisionError
    done.append(number)


@pytest.mark.parametrize("count", [1, 30])
def test_an_error_of_the_work_surfaces_and_what_was_submitted_is_finished(count):
    done, submitted = [], []

    def run():
        with background(waiting=100) as submit:
            for number in range(count):
                submitted.append(number)
                submit(fails_first, done, number)

    with pytest.raises(ZeroDivisionError):
        run()
    assert sorted(done) == submitted[1:]


def test_an_error_of_the_block_waits_for_the_work():
    done = []

    def run():
        with background(waiting=100) as submit:
            for number in range(20):
                submit(done.append, number)
            raise KeyError

    with pytest.raises(KeyError):
        run()
    assert len(done) == 20
