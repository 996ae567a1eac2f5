"""What is particular about GoodWe inverters: the frames of their dongles, and the UDP below them.

``framing``: requests to datagrams and back, for both protocols that a dongle speaks. ``udp``: the
link. What registers mean, and which blocks GoodWe's own programs ask for, stands in the profiles
``goodwe-*`` (docs/protocol/goodwe.md).
"""
