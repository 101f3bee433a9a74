"""A trial that says when its first line ran, as early as Python can."""

import time

print(f"first line at {time.time()}", flush=True)
