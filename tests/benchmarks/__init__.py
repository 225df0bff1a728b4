"""Benchmarks: what the server costs, beside what the same work costs without it, in the same run (`make bench`)."""
