"""A worker process: `python -m kseg.pipelines.worker DESCRIPTOR` does what comes through the connection."""

import os
import pickle
import select
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from kseg.pipelines.engines import Task, start_task
from kseg.pipelines.items import do_item

_PATIENCE_S = 8.0


def main() -> None:
    """Start the task, say so, and answer every item with its record until the connection closes."""
    connection = Connection(int(sys.argv[1]))
    # A signal to the whole group is for the one who leads; it closes the connection when it goes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _leave_with(connection)
    try:
        _work(connection)
    finally:
        # Whoever leaves already is not to be told.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _work(connection: Connection) -> None:
    try:
        task: Task = pickle.loads(connection.recv_bytes())
        work = start_task(task)
    except ValueError as error:
        connection.send(error)
        return
    connection.send(None)
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        connection.send(do_item(item, work, task.stage))


def _leave_with(connection: Connection) -> None:
    """Leave in the middle of an item when the other side is gone, and remove what is half written."""
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit())

    def watch() -> None:
        poll = select.poll()
        poll.register(connection.fileno(), 0)  # a hang-up is told unasked
        poll.poll()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        time.sleep(_PATIENCE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
