"""redis-py's cluster client on the cluster ports: `cluster.py PORT`. Ends with `all good` or an exception."""

import sys

from redis.cluster import RedisCluster

port = int(sys.argv[1])

for protocol in (2, 3):
    r = RedisCluster(host="127.0.0.1", port=port, protocol=protocol, decode_responses=True)
    p = f"pyc{protocol}:"
    primaries = r.get_primaries()
    assert len(primaries) >= 2, primaries
    assert len(r.get_nodes()) == 3
    assert r.ping(target_nodes=RedisCluster.ALL_NODES)

    for i in range(300):
        assert r.set(f"{p}{i}", i)
    for i in range(300):
        assert r.get(f"{p}{i}") == str(i)
    assert r.mset_nonatomic({f"{p}m{i}": i for i in range(50)})
    assert r.mget_nonatomic([f"{p}m{i}" for i in range(50)]) == [str(i) for i in range(50)]
    assert r.exists(*[f"{p}{i}" for i in range(300)]) == 300
    assert r.incr(p + "n") == 1
    assert r.mset({"{%s}1" % p: 1, "{%s}2" % p: 2})
    assert r.mget("{%s}1" % p, "{%s}2" % p) == ["1", "2"]
    assert r.keyslot(p + "n") == r.cluster_keyslot(p + "n")

    # Summed and collected over the primaries by the client.
    assert r.dbsize() >= 353
    assert len(set(r.scan_iter(match=p + "m*", count=500))) == 50

    pipe = r.pipeline()
    for i in range(100):
        pipe.set(f"{p}pipe:{i}", i)
    assert all(pipe.execute())

    assert r.delete(*[f"{p}{i}" for i in range(300)]) == 300

    # Every node knows every other.
    assert len(r.cluster_nodes()) == 3
    r.close()

print("all good")
