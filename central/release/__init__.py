"""From a built bundle to signed, published releases.

``keys`` (private keys on disk), ``repository`` (the TUF repository: roles, versions, expiry),
``release`` (stamp, pack, sign; promote), ``publish`` (repository -> retained MQTT messages).
This package is the only one in the project that touches private keys.
"""
