"""Pure rules of the affiliate business: no input, no output, no clock."""
