"""Ctrl-C and SIGTERM on the command line: it ends within a second, whatever it is doing.

Python answers a signal on its main thread, which waits for Polars most of the time; Polars answers
Ctrl-C at the next step of a query. Mostly that takes some milliseconds, and everything is put in
order on the way out. But a step may take long, and other signals than Ctrl-C are nothing to Polars.
So a thread listens too: it hands other signals on as Ctrl-C, and ends the process where that has
not ended by itself in time. That is as safe as any kill, and the temporary files are removed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final

from rangebar_polars._files import discard_all

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

__all__ = ["Signals"]

_MESSAGE: Final = "rangebar: interrupted"

_PATIENCE_SECONDS: Final = 0.75
_HEARD_SECONDS: Final = 0.05
_OTHERS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Signals:
    """
    A context manager for the whole life of a process that a signal ends; enter it once.

    Attributes
    ----------
    exit_code : int or None
        128 and the number of the signal that came, as a shell has it; None while none did.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._unsaid = [True]
        self._terminal: int | None = None
        self._listening = False
        self._heard = threading.Event()

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        # What is ignored, as by nohup, remains so. And SIGINT remains as it is: a new handler would
        # take the place of the one that Polars has put before Python's.
        for number in _OTHERS:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._on_other)
        self._ear, mouth = socket.socketpair()
        mouth.setblocking(False)
        self._mouth = mouth  # open as long as this is
        signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        self._listening = True
        threading.Thread(target=self._listen, name="rangebar-signals", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The thread listens on: once this is over, Python waits for threads that end their work.
        return None

    def came(self) -> bool:
        """Whether a signal came; what failed right now may have been ended by one just heard."""
        return self._listening and self._heard.wait(_HEARD_SECONDS)

    def say(self) -> None:
        """Say in one line that it was interrupted, unless that has been said."""
        if self._unsaid:
            self._unsaid.clear()
            if self._listening:
                # Or it would be said where the listener just now stops all talk.
                self._heard.wait(_PATIENCE_SECONDS)
            if self._terminal is None:
                print(_MESSAGE, file=sys.stderr)
            else:
                os.write(self._terminal, f"{_MESSAGE}\n".encode())

    def _on_other(self, _number: int, _frame: FrameType | None) -> None:
        """Nothing: the thread has heard it."""

    def _listen(self) -> None:
        number = 0
        while number not in {signal.SIGINT, *_OTHERS}:
            number = self._ear.recv(1)[0]
        self.exit_code = 128 + number
        # What Polars and others have to say about being stopped is of no interest.
        self._terminal = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self._heard.set()
        if number != signal.SIGINT:
            signal.raise_signal(signal.SIGINT)
        threading.Event().wait(_PATIENCE_SECONDS)
        discard_all()
        self.say()
        os._exit(self.exit_code)
