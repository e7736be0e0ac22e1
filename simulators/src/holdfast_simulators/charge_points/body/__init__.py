"""What simulated charge points of every version share: link, clocks, back-off, queue rules, ledger, configuration."""
