"""Acknowledging messages together: the broker hears of several in one frame, and sends as many new ones at once."""

from typing import Any, Final

from kombu.transport.virtual import Channel as VirtualChannel

#: An acknowledgement waits for others for so long. Should it get lost, the row is the truth: the next delivery is dropped.
PATIENCE_S: Final = 0.02


class Acknowledgements:
    """Messages of one channel, from their arrival on.

    An error of the broker comes out in the event loop and so ends the connection. It must: kombu's Redis transport goes on
    counting a message whose acknowledgement failed as taken, and at its prefetch limit it never asks again, nor notices.
    """

    def __init__(self, limit: int) -> None:
        """At most `limit` acknowledgements wait."""
        self._limit = limit
        self._hub: Any = None
        self._channel: Any = None
        self._open: dict[Any, Any] = {}  # messages by delivery tag, in the order of their arrival
        self._finished: set[Any] = set()
        self._is_due = False

    def register_with_event_loop(self, hub: Any) -> None:
        """Use this event loop from now on; called for each connection to the broker."""
        self._hub = hub
        self._follow(None)

    def arrive(self, message: Any) -> None:
        """Note a message that has to be acknowledged later."""
        if message.channel is not self._channel:
            self._follow(message.channel)
        self._open[message.delivery_tag] = message

    def finish(self, message: Any) -> None:
        """Have a message acknowledged soon. One of a lost connection cannot be, nor one whose tag another message had."""
        if message.channel is not self._channel or message.delivery_tag not in self._open:
            return
        self._finished.add(message.delivery_tag)
        if len(self._finished) == self._limit:
            self._hub.call_soon(self.flush)
        elif not self._is_due:
            self._is_due = True
            # By way of call_soon: of what a timer raises, the loop lets out only some.
            self._hub.call_later(PATIENCE_S, self._hub.call_soon, self.flush)

    def flush(self) -> None:
        """Acknowledge what is finished. AMQP takes all up to a message in one frame."""
        self._is_due = False
        finished, self._finished = self._finished, set()
        last = None
        for tag in list(self._open) if finished else ():
            if tag not in finished or isinstance(self._channel, VirtualChannel):
                break
            finished.remove(tag)
            last = self._open.pop(tag)
        if last is not None:
            last.ack(multiple=True)
        for tag in finished:
            self._open.pop(tag).ack()

    def _follow(self, channel: Any) -> None:
        self._channel, self._is_due = channel, False
        self._open.clear()
        self._finished.clear()
