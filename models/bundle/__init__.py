"""What a model bundle is, how it is packed, and when a box accepts it.

``manifest`` (the frozen description), ``manifest_json`` (its bytes), ``archive`` (directory <->
tar, the only code here that touches a disk), ``offer`` (what the signed target says before the
download), ``trust`` (accept or refuse). Signing and verifying is python-tuf's, on both sides.
"""
