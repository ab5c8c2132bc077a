"""The driver of Ray: Ray's own loops (A1 to A23, as its microbenchmarks define them) and those that have grown beside them."""
import os
import subprocess
import sys
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")

import numpy as np
import ray

from serve import Loop, serve

MIB = 2**20
LARGE_LENGTH = 100 * MIB
WORKERS = 2
STORE_BYTES = 3 * 2**30


def cluster():
    if not ray.is_initialized():
        ray.init(
            num_cpus=WORKERS,
            object_store_memory=STORE_BYTES,
            resources={"custom": 100},
            include_dashboard=False,
            log_to_driver=False,
        )


@ray.remote
def small_value():
    return b"ok"


@ray.remote
def increment(x):
    return x + 1


@ray.remote
def add(a, b):
    return a + b


@ray.remote
def busy(ms):
    end = time.perf_counter() + ms / 1000
    while time.perf_counter() < end:
        pass


@ray.remote
def do_put_small(count):
    for _ in range(count):
        ray.put(0)


@ray.remote
def do_put_large(length):
    for _ in range(10):
        ray.put(np.zeros(length, dtype=np.int64))


@ray.remote
def make_array(length):
    return np.ones(length, dtype=np.uint8)


@ray.remote
def make_refs(count):
    return [ray.put(1) for _ in range(count)]


@ray.remote
def work(actors, calls):
    ray.get([actors[i % len(actors)].small_value.remote() for i in range(calls)])


@ray.remote(num_cpus=0)
class Actor:
    def small_value(self):
        return b"ok"

    def small_value_arg(self, x):
        return b"ok"

    def small_value_batch(self, count):
        ray.get([small_value.remote() for _ in range(count)])


@ray.remote
class AsyncActor:
    async def small_value(self):
        return b"ok"

    async def small_value_arg(self, x):
        return b"ok"


@ray.remote(num_cpus=0)
class Client:
    def __init__(self, servers):
        self.servers = servers

    def small_value_batch(self, count):
        results = []
        for server in self.servers:
            results.extend([server.small_value.remote() for _ in range(count)])
        ray.get(results)

    def small_value_batch_arg(self, count):
        x = ray.put(0)
        results = []
        for server in self.servers:
            results.extend([server.small_value_arg.remote(x) for _ in range(count)])
        ray.get(results)


@ray.remote(num_cpus=0)
class Fresh:
    def pid(self):
        return os.getpid()


@ray.remote
def pid_of_worker():
    return os.getpid()


def kill_all(actors):
    for actor in actors:
        ray.kill(actor)


@ray.remote
def put_many(count):
    return [ray.put(i) for i in range(count)]


@ray.remote
def same(x):
    return x


def get_crossing(size):
    count = size(1000)

    def once():
        values = ray.get(ray.get(put_many.remote(count)))
        assert values[-1] == count - 1

    return Loop(once)


def put_crossing(size):
    count = size(1000)

    def once():
        values = ray.get([same.remote(ray.put(i)) for i in range(count)])
        assert values[-1] == count - 1

    return Loop(once)


def get_sized(count):
    def make(size):
        ref = make_array.remote(size(count))
        ray.get(ref)

        def once():
            array = ray.get(ref)
            assert array[-1] == 1

        return Loop(once)

    return make


def put_large(size):
    array = np.zeros(size(LARGE_LENGTH), dtype=np.int64)
    return Loop(lambda: ray.put(array))


def get_refs(size):
    ref = make_refs.remote(size(10_000))
    return Loop(lambda: ray.get(ref))


def wait_one_by_one(size):
    def once():
        pending = [small_value.remote() for _ in range(size(1000))]
        fetch_local = True
        while pending:
            _, pending = ray.wait(pending, fetch_local=fetch_local)
            fetch_local = False

    return Loop(once)


def task_batch(size):
    return Loop(lambda: ray.get([small_value.remote() for _ in range(size(1000))]))


def from_actors(size):
    actors = [Actor.remote() for _ in range(4)]
    return Loop(
        lambda: ray.get([a.small_value_batch.remote(size(10_000)) for a in actors]),
        close=lambda: kill_all(actors),
    )


def chain(size):
    def once():
        ref = increment.remote(0)
        for _ in range(size(1000) - 1):
            ref = increment.remote(ref)
        assert ray.get(ref) == size(1000)

    return Loop(once)


def tree(size):
    leaves = 8 if size(1024) < 1024 else 1024

    def once():
        layer = [1] * leaves
        while len(layer) > 1:
            layer = [add.remote(layer[i], layer[i + 1]) for i in range(0, len(layer), 2)]
        assert ray.get(layer[0]) == leaves

    return Loop(once)


def fairness(size):
    ray.get([small_value.remote() for _ in range(100)])

    def measure():
        started = time.perf_counter()
        long = busy.remote(size(2000))
        ray.get([small_value.remote() for _ in range(size(1000))])
        elapsed = time.perf_counter() - started
        ray.get(long)
        return elapsed * 1000

    return Loop(measure=measure)


def actor_sync(kind):
    def make(size):
        actor = kind.remote()
        return Loop(lambda: ray.get(actor.small_value.remote()), close=lambda: ray.kill(actor))

    return make


def actor_batch(kind, concurrency=None, argument=False):
    def make(size):
        actor = kind.remote() if concurrency is None else kind.options(max_concurrency=concurrency).remote()
        count = size(1000)
        if argument:
            once = lambda: ray.get([actor.small_value_arg.remote(i) for i in range(count)])
        else:
            once = lambda: ray.get([actor.small_value.remote() for _ in range(count)])
        return Loop(once, close=lambda: ray.kill(actor))

    return make


def one_to_many(kind, n):
    def make(size):
        servers = [kind.remote() for _ in range(n)]
        client = Client.remote(servers)
        return Loop(
            lambda: ray.get(client.small_value_batch.remote(size(5000))),
            close=lambda: kill_all([client, *servers]),
        )

    return make


def many_to_many(kind, n):
    def make(size):
        servers = [kind.remote() for _ in range(n)]
        return Loop(
            lambda: ray.get([work.remote(servers, size(5000)) for _ in range(4)]),
            close=lambda: kill_all(servers),
        )

    return make


def pairs(n):
    def make(size):
        servers = [Actor.remote() for _ in range(n)]
        clients = [Client.remote([server]) for server in servers]
        return Loop(
            lambda: ray.get([c.small_value_batch_arg.remote(size(1000)) for c in clients]),
            close=lambda: kill_all([*clients, *servers]),
        )

    return make


def groups(size):
    count = size(100)

    def once():
        made = [ray.util.placement_group([{"custom": 0.001}]) for _ in range(count)]
        for group in made:
            group.wait(timeout_seconds=30)
        for group in made:
            ray.util.remove_placement_group(group)

    return Loop(once)


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def first_result(size):
    program = os.path.join(os.path.dirname(__file__), "first_result.py")
    return Loop(measure=lambda: float(subprocess.run([sys.executable, program], check=True, capture_output=True).stdout.split()[-1]))


def worker_start(size):
    kept = [Fresh.remote() for _ in range(4)]
    ray.get([actor.pid.remote() for actor in kept])

    def measure():
        times = []
        for _ in range(size(5)):
            started = time.perf_counter()
            actor = Fresh.remote()
            ray.get(actor.pid.remote())
            times.append((time.perf_counter() - started) * 1000)
            kept.append(actor)
        return float(np.median(times))

    return Loop(measure=measure, close=lambda: kill_all(kept))


def worker_memory(size):
    pid = ray.get(pid_of_worker.remote())

    def measure():
        time.sleep(1)
        return resident_mb(pid)

    return Loop(measure=measure)


def many_args(size):
    @ray.remote
    def count_args(*args):
        return len(args)

    arrays = [ray.put(list(range(10))) for _ in range(size(10_000))]

    def once():
        assert ray.get(count_args.remote(*arrays)) == len(arrays)

    return Loop(once)


def many_returns(size):
    count = size(3000)

    @ray.remote(num_returns=count)
    def returns():
        return list(range(count))

    return Loop(lambda: ray.get(returns.remote()))


def many_objects(size):
    refs = [ray.put(list(range(10))) for _ in range(size(10_000))]
    return Loop(lambda: ray.get(refs))


def queued(size):
    count = size(100_000, 20_000)

    def measure():
        started = time.perf_counter()
        ray.get([small_value.remote() for _ in range(count)])
        return (time.perf_counter() - started) / count * 1e6

    return Loop(measure=measure)


def node_to_node(size):
    """Two nodes on this machine; the driver is on the first, and what it gets is made on the second."""
    from ray.cluster_utils import Cluster

    count = size(2**30)
    ray.shutdown()
    store = max(count * 2, 100 * MIB)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": store})
    nodes.add_node(num_cpus=1, resources={"other": 1}, object_store_memory=store)
    ray.init(address=nodes.address, log_to_driver=False)

    @ray.remote(resources={"other": 0.001})
    def make():
        return np.full(count, 7, dtype=np.uint8)

    def measure():
        ref = make.remote()
        ray.wait([ref], fetch_local=False)
        started = time.perf_counter()
        got = ray.get(ref)
        seconds = time.perf_counter() - started
        assert got[count - 1] == 7
        return count / 1e9 / seconds

    def close():
        ray.shutdown()
        nodes.shutdown()

    return Loop(measure=measure, close=close)


LOOPS = {
    "node-to-node": node_to_node,
    "get-crossing": get_crossing,
    "put-crossing": put_crossing,
    "A3": lambda size: Loop(lambda: ray.get([do_put_small.remote(size(100)) for _ in range(10)])),
    "A4": put_large,
    "A6": lambda size: Loop(lambda: ray.get([do_put_large.remote(size(10 * MIB)) for _ in range(10)])),
    "A7": get_refs,
    "A8": wait_one_by_one,
    "A9": lambda size: Loop(lambda: ray.get(small_value.remote())),
    "A10": task_batch,
    "A11": from_actors,
    "A12": actor_sync(Actor),
    "A13": actor_batch(Actor),
    "A14": actor_batch(Actor, concurrency=16),
    "A15": one_to_many(Actor, 1),
    "A15x4": one_to_many(Actor, 4),
    "A16": many_to_many(Actor, 1),
    "A16x4": many_to_many(Actor, 4),
    "A17": pairs(1),
    "A17x4": pairs(4),
    "A18": actor_sync(AsyncActor),
    "A19": actor_batch(AsyncActor),
    "A20": actor_batch(AsyncActor, argument=True),
    "A21": one_to_many(AsyncActor, 1),
    "A21x4": one_to_many(AsyncActor, 4),
    "A22": many_to_many(AsyncActor, 1),
    "A22x4": many_to_many(AsyncActor, 4),
    "A23": groups,
    "chain": chain,
    "tree": tree,
    "fairness": fairness,
    "get-1MiB": get_sized(MIB),
    "get-16MiB": get_sized(16 * MIB),
    "get-128MiB": get_sized(128 * MIB),
    "get-1GiB": get_sized(1024 * MIB),
    "args-10000": many_args,
    "returns-3000": many_returns,
    "objects-10000": many_objects,
    "queued-time": queued,
    "first-result": first_result,
    "worker-start": worker_start,
    "worker-memory": worker_memory,
}

# What starts a cluster of its own.
ALONE = {"first-result", "node-to-node"}


def on_cluster(name, make):
    def prepare(size):
        if name not in ALONE:
            cluster()
        return make(size)

    return prepare


serve({name: on_cluster(name, make) for name, make in LOOPS.items()}, ray.shutdown)
