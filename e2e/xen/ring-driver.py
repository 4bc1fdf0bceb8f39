#!/usr/bin/env python3
"""Lets a test speak to xenstored as guests, one JSON line a request: {"domain": 7, "kind": 2, "payload": hex} or with "as": "dom0".

Started with the socket's path; XENSTORED_RINGS says where xenstored-shim.c keeps the rings. Answers {"kind": 2, "payload": hex}.
With a domain and a path as well it makes a character device at that path that speaks as that guest, like /dev/xen/xenbus.
"""
import importlib.util, json, os, pty, select, sys, tty

spec = importlib.util.spec_from_file_location("ring_guest", os.path.join(os.path.dirname(__file__), "ring-guest.py"))
ring = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ring)


def lines():
    guests = {}
    for line in sys.stdin:
        asked = json.loads(line)
        domain, kind, payload = asked["domain"], asked["kind"], bytes.fromhex(asked["payload"])
        if asked.get("as") == "dom0":
            kind, payload = ring.as_dom0(kind, payload)
        else:
            if domain not in guests:
                guests[domain] = ring.Guest(domain)
            kind, payload = guests[domain].request(kind, payload)
        print(json.dumps({"kind": kind, "payload": payload.hex()}), flush=True)


def device(domain, path):
    guest = ring.Guest(domain)
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.symlink(os.ttyname(slave), path)
    print("ready", flush=True)
    asked = b""
    while True:
        if select.select([master], [], [], 0.005)[0]:
            asked += os.read(master, 4096)
        producer, consumer = guest.word(2052), guest.word(2048)
        room = 1024 - (producer - consumer) % 2**32
        for byte in asked[:room]:
            guest.page[producer % 1024] = byte
            producer += 1
        asked = asked[room:]
        guest.word(2052, producer % 2**32)
        ring.as_dom0(1, b"/\0")
        start, end = guest.word(2056), guest.word(2060)
        told = bytes(guest.page[1024 + (start + i) % 1024] for i in range((end - start) % 2**32))
        guest.word(2056, end)
        while told:
            told = told[os.write(master, told) :]


ring.dom0.connect(sys.argv[1])
if len(sys.argv) > 2:
    device(int(sys.argv[2]), sys.argv[3])
else:
    lines()
