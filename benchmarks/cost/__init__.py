"""What measured throughput costs in money: machines, dollars a million predictions, a month."""
