"""From site histories to a candidate bundle.

``dataset`` lays histories on the grid and cuts the four spans, ``trees`` and ``lstm`` fit,
``blend`` weighs them, ``scores`` judges against smart persistence, ``convert_trees`` and
``convert_lstm`` make the shipped forms behind parity gates, ``candidate`` writes the bundle
directory, ``pipeline`` runs all.
"""
