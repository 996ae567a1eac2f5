"""Whether the wall clock can be believed, since when, and how far it has jumped.

``kernel_time`` asks the kernel, ``watch`` judges, ``alerts`` says it to people. Stamping records,
holding them back and correcting them is the journal's work.
"""
