"""The nouns, pure: resource, observation, action, plan, facts, outcome, event, diagnostic."""
