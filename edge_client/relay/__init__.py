"""A TCP relay that plays a slow link: rates, delays, traces, black-outs."""
