"""Sends the events of the ledger to the sinks that documents declare."""
