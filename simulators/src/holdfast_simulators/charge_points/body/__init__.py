"""What every simulated charge point is, whatever it speaks.

A version gives its `Core`; the rest stands here once:

    running, reconnecting, talking, maintenance    what it does in the course of time
    body                                           decide -> one transaction in the store -> what is left to say
    device, events, keeping, limits, settings ...  what it is, what happens to it: pure
    store, outbox, ledger                          what outlives it
"""
