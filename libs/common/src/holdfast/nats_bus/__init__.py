"""The bus on a real nats-server, 2.14 or newer.

connection   one connection: comes back for ever, refuses too old a server
api          JetStream's JSON interface, errors as types
appending    append: who acknowledged, and what went wrong
reading      pull and follow: sessions that begin anew after any trouble
admin        making, copying, trimming
bus          all of it as one `ServerBus`
"""

from holdfast.nats_bus.bus import NatsBus, open_bus
from holdfast.nats_bus.connection import ServerUnusable

__all__ = ["NatsBus", "ServerUnusable", "open_bus"]
