"""A whole program, cold: prints how many ms pass from init() to the first result."""
import os
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray


@ray.remote
def small_value():
    return b"ok"


started = time.perf_counter()
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
assert ray.get(small_value.remote()) == b"ok"
elapsed = (time.perf_counter() - started) * 1000
ray.shutdown()
print(elapsed)
