"""The listening socket, and what people are told when it cannot be had."""

import socket
from contextlib import closing

import pytest

from exai.supervisor.exit_codes import CONFIGURATION, OCCUPIED, HubError
from exai.supervisor.sockets import listen


def ipv6_is_there() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_it_listens_on_names_and_on_addresses_of_both_families(host: str) -> None:
    if ":" in host and not ipv6_is_there():
        pytest.skip("this machine has no IPv6")
    with closing(listen(host, 0)) as listener, socket.create_connection(listener.getsockname()[:2], timeout=5):
        pass


def test_a_port_in_use_is_named_with_its_setting() -> None:
    with closing(listen("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HubError, match=rf"{port}.*in use.*EXAI_PORT") as raised:
            listen("127.0.0.1", port)
    assert raised.value.exit_code == OCCUPIED


def test_connections_of_the_last_run_do_not_keep_the_port() -> None:
    with closing(listen("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        client = socket.create_connection(address, timeout=5)
        listener.setblocking(True)
        served, _ = listener.accept()
        served.close()  # the server closes first: its side stays in TIME_WAIT
        client.close()
    with closing(listen(address[0], address[1])):
        pass


def test_an_address_of_another_machine_is_said_to_be_one() -> None:
    with pytest.raises(HubError, match=r"EXAI_HOST=192\.0\.2\.1 is not an address of this machine") as raised:
        listen("192.0.2.1", 0)
    assert raised.value.exit_code == OCCUPIED


def test_a_host_that_nobody_knows_is_a_wrong_setting() -> None:
    with pytest.raises(HubError, match="EXAI_HOST=") as raised:
        listen("no such host", 0)
    assert raised.value.exit_code == CONFIGURATION
