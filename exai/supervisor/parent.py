"""How a child notices that its supervisor died: the pipe that both hold reaches its end, whatever killed it.

Standard library only; every process of the hub imports this.
"""

import os
import threading
from collections.abc import Callable


def when_parent_dies(fd: int, callback: Callable[[], None]) -> None:
    """Calls `callback` once, in a thread of its own, when the other end of the pipe is closed.

    `fd` is the read end, inherited; nothing is ever written to it. The thread ends with the process.
    """

    def wait() -> None:
        # A read returns at the end of the pipe only: nobody writes.
        while os.read(fd, 64):
            pass
        callback()

    # Programs that the child starts must not hold it.
    os.set_inheritable(fd, False)
    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
