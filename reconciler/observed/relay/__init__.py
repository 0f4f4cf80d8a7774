"""Endpoints that another daemon reaches: requests and answers, carried by the store."""
