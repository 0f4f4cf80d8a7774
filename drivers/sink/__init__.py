"""Receivers of events: webhooks, and streams of NATS JetStream."""
