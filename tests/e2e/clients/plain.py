"""redis-py on a plain port: `plain.py PORT`. Ends with `all good` or an exception."""

import sys
import time

import redis

port = int(sys.argv[1])

for protocol in (2, 3):
    r = redis.Redis(host="127.0.0.1", port=port, protocol=protocol, decode_responses=True, socket_timeout=15)
    p = f"py{protocol}:"
    assert r.ping() is True
    assert r.echo("x") == "x"
    assert r.set(p + "a", "1") is True
    assert r.get(p + "a") == "1"
    assert r.set(p + "a", "2", nx=True) is None
    assert r.set(p + "a", "2", xx=True, get=True) == "1"
    assert r.get(p + "none") is None
    assert r.incr(p + "n") == 1
    assert r.incrby(p + "n", 41) == 42
    assert r.decr(p + "n") == 41
    assert r.incrbyfloat(p + "f", 1.5) == 1.5
    assert r.append(p + "s", "hello") == 5
    assert r.append(p + "s", " world") == 11
    assert r.strlen(p + "s") == 11
    assert r.getrange(p + "s", 0, 4) == "hello"
    assert r.setrange(p + "s", 6, "there") == 11
    assert r.get(p + "s") == "hello there"
    assert r.mset({p + "x": "1", p + "y": "2"}) is True
    assert r.mget(p + "x", p + "y", p + "none") == ["1", "2", None]
    assert r.exists(p + "x", p + "y", p + "none") == 2
    assert r.expire(p + "x", 100) is True
    assert 95 <= r.ttl(p + "x") <= 100
    assert r.pttl(p + "y") == -1
    assert r.persist(p + "x") is True
    assert r.getex(p + "x", ex=50) == "1"
    assert r.expiretime(p + "x") > time.time()
    assert r.getdel(p + "x") == "1"
    assert r.setex(p + "t", 100, "v") is True
    assert r.psetex(p + "t", 100000, "v") is True
    assert r.setnx(p + "t", "w") is False
    assert r.type(p + "t") == "string"
    assert sorted(r.scan_iter(match=p + "*", count=100)) == sorted(r.keys(p + "*"))
    assert r.dbsize() > 0
    assert r.rename("{%s}a" % p, "{%s}b" % p) if r.set("{%s}a" % p, "v") else False
    assert r.copy("{%s}b" % p, "{%s}c" % p)
    assert r.delete(p + "a", p + "n", p + "none") == 2
    assert r.unlink(p + "s") == 1
    assert r.touch(p + "y") == 1

    # A pipeline without MULTI.
    pipe = r.pipeline(transaction=False)
    for i in range(200):
        pipe.set(f"{p}pipe:{i}", i)
        pipe.get(f"{p}pipe:{i}")
    replies = pipe.execute()
    assert replies == [reply for i in range(200) for reply in (True, str(i))]

    try:
        r.execute_command("INCRBY", p + "y", "abc")
        raise AssertionError("an error was expected")
    except redis.ResponseError as error:
        assert str(error) == "value is not an integer or out of range", error

    assert r.client_id() > 0
    assert r.client_setname("py") is True
    assert r.client_getname() == "py"
    assert "redis_version" in r.info()
    assert len(r.command()) > 50
    seconds, micros = r.time()
    assert abs(seconds - time.time()) < 60 and 0 <= micros < 1_000_000
    r.close()

# Binary keys and values.
b = redis.Redis(host="127.0.0.1", port=port)
blob = bytes(range(256)) * 16
assert b.set(b"py\x00\xff", blob) and b.get(b"py\x00\xff") == blob
b.close()

print("all good")
