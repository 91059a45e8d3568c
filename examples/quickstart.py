"""The blocking quickstart of README.md, with its results checked.

Run it: ``python examples/quickstart.py``. Three members of one ring run in this process, to have
all of it on one page; an application has one member in each of its processes.
"""

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import dynamokv

folder = Path(mkdtemp())
a = dynamokv.join("127.0.0.1:0", data_dir=folder / "a")  # port 0: any that is free
b = dynamokv.join("127.0.0.1:0", seeds=[a.address], data_dir=folder / "b")
c = dynamokv.join("127.0.0.1:0", seeds=[a.address], data_dir=folder / "c")

a.put("user:123", {"name": "Ada", "visits": 1})
print(b.get("user:123"))  # {'name': 'Ada', 'visits': 1}
assert b.get("user:123") == {"name": "Ada", "visits": 1}

receipt = c.put("user:123", {"name": "Ada", "visits": 2}, consistency="ALL")
print(receipt.acks)  # 3
print(a.get("user:123", consistency="ONE"))  # {'name': 'Ada', 'visits': 2}
assert receipt.acks == 3
assert a.get("user:123", consistency="ONE") == {"name": "Ada", "visits": 2}

b["greeting"] = "hello"  # single keys also work as a mapping
print("greeting" in c, c["greeting"])  # True hello
assert c["greeting"] == "hello"
del c["greeting"]
print(a.get("greeting", "gone"))  # gone
assert "greeting" not in a

a.batch_put({"city:1": "Paris", "city:2": "Lima"}).raise_for_errors()
print(b.batch_get(["city:1", "city:2"]))  # {'city:1': 'Paris', 'city:2': 'Lima'}
assert b.batch_get(["city:1", "city:2"]) == {"city:1": "Paris", "city:2": "Lima"}

with dynamokv.connect([a.address, b.address]) as client:
    print(client.get("user:123"))  # {'name': 'Ada', 'visits': 2}
    assert client.get("user:123") == {"name": "Ada", "visits": 2}

for member in (a, b, c):
    member.close()
rmtree(folder)
