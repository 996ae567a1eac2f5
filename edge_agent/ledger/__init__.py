"""The completeness ledger of the box: what became of every turn of every device.

``tally`` counts (pure), ``ledger_store`` keeps the counts in ``state.sqlite``, ``ledger`` is what
the agent uses. What a day's counts are is the contract's (``models.contract.ledger``).
"""
