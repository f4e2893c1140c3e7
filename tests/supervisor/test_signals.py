"""A request to stop is never lost and interrupts only what asked to be interrupted."""

import os
import select
import signal
import time
from pathlib import Path

import pytest

from exai.supervisor.exit_codes import StopRequested
from exai.supervisor.signals import Signals
from tests.supervisor.programs import PATIENCE_S, eventually


def wait_for_a_signal_sent_to_oneself() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    select.select([], [], [], PATIENCE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_of_them_asks_to_stop_and_ends_the_wait(number: signal.Signals) -> None:
    with Signals() as signals:
        os.kill(os.getpid(), number)
        started = time.monotonic()
        signals.wait(PATIENCE_S)
        assert time.monotonic() - started < PATIENCE_S
        assert signals.stopping
        assert not signals.hurried


def test_a_second_ctrl_c_hurries_but_not_the_echo_of_the_first() -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert not signals.hurried

        def pressed_again() -> bool:
            os.kill(os.getpid(), signal.SIGINT)
            return signals.hurried

        assert eventually(pressed_again)


def test_service_managers_may_repeat_themselves() -> None:
    with Signals() as signals:
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
        assert signals.stopping
        assert not signals.hurried


def test_a_step_that_asks_for_it_is_interrupted() -> None:
    started = time.monotonic()
    with Signals() as signals, pytest.raises(StopRequested), signals.interrupting():
        wait_for_a_signal_sent_to_oneself()
    assert time.monotonic() - started < PATIENCE_S


def test_a_step_is_not_begun_after_the_request() -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StopRequested), signals.interrupting():
            pytest.fail("begun")


def test_a_readable_descriptor_ends_the_wait(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    with Signals() as signals:
        os.write(write_end, b"x")
        assert signals.wait(PATIENCE_S, read_end) == [read_end]
    os.close(read_end)
    os.close(write_end)
