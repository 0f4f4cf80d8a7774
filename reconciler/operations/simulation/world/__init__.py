"""What simulated daemons meet: time, hosts, a repository, BMCs and the machines behind them."""
