"""A real browser on a brand's site: links, the tracking script and signups, as a visitor's Chromium sees them."""
