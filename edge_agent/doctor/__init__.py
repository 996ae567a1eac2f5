"""``solar-edge doctor``: what is wrong with this box, and what to do about it. Changes nothing.

Each check is a function that gives findings; ``finding`` runs them side by side with a deadline
each, ``command`` shows them. What is checked stands in the files by subject.
"""
