"""The central types, pure: resource, observation, action, plan, facts, outcome, event, diagnostic."""
