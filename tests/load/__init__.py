"""A brand's life under load: real webhooks, many at once and in any order, against a plain computation (`make load`)."""
