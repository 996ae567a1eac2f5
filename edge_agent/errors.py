"""Errors of the agent. Each says what is wrong, where, and what to do about it."""

from __future__ import annotations


class EdgeError(Exception):
    """Base of the agent's own errors."""


class StorageError(EdgeError):
    """A database file that cannot be used at all; names the file and the way out."""


class TransportUnavailable(EdgeError):
    """The broker did not answer in time. Says nothing about whether a thing exists."""
