"""From site histories to a candidate bundle.

``dataset`` lays histories on the grid and cuts the four spans, ``drawn`` says how much of each is
taken; ``generation``, ``demand``, ``anomaly`` and ``risk`` train and judge one task each (with
``trees``, ``lstm``, ``feature_net``, weighed by ``blend``); ``convert_trees`` and ``convert_lstm``
make the shipped forms behind parity gates, ``candidate`` writes the bundle directory, ``pipeline``
runs all.
"""
