"""What runs in the background: the inbox, the event poller, and the sweeps."""
