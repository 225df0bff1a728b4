"""Stripe cases: webhooks and Stripe's state go in, conversions and commission come out."""
