#!/usr/bin/env python3
"""Lets a test speak to xenstored as guests, one JSON line a request: {"domain": 7, "kind": 2, "payload": hex} or with "as": "dom0".

Started with the socket's path; XENSTORED_RINGS says where xenstored-shim.c keeps the rings. Answers {"kind": 2, "payload": hex}.
With a domain and a path as well it makes a character device at that path that speaks as that guest, like /dev/xen/xenbus.
"""
import importlib.util, json, os, pty, select, struct, sys, time, tty

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


def to_ring(guest, message):
    producer = guest.word(2052)
    room = 1024 - (producer - guest.word(2048)) % 2**32
    for byte in message[:room]:
        guest.page[producer % 1024] = byte
        producer += 1
    guest.word(2052, producer % 2**32)
    ring.as_dom0(1, b"/\0")
    return message[room:]


def from_ring(guest):
    start, end = guest.word(2056), guest.word(2060)
    told = bytes(guest.page[1024 + (start + i) % 1024] for i in range((end - start) % 2**32))
    guest.word(2056, end)
    return told


def opening(guest, path, first):
    """One opening of the device: a terminal of its own, whose other end we hold until something has come."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.symlink(os.ttyname(slave), path + ".new")
    os.rename(path + ".new", path)
    if first:
        print("ready", flush=True)
    asked = b""
    while True:
        try:
            if select.select([master], [], [], 0.005)[0]:
                asked += os.read(master, 4096)
                if slave is not None:
                    os.close(slave)
                    slave = None
        except OSError:  # closed by whoever had opened it
            os.close(master)
            return
        asked = to_ring(guest, asked)
        told = from_ring(guest)
        while told:
            told = told[os.write(master, told) :]


def device(domain, path):
    guest = ring.Guest(domain)
    opening(guest, path, True)
    while True:
        # As the kernel does with what was watched and not answered. 21 is RESET_WATCHES.
        to_ring(guest, struct.pack("<IIIIx", 21, 1, 0, 1))
        time.sleep(0.02)
        to_ring(guest, b"")
        from_ring(guest)
        opening(guest, path, False)


ring.dom0.connect(sys.argv[1])
try:
    if len(sys.argv) > 2:
        device(int(sys.argv[2]), sys.argv[3])
    else:
        lines()
except (ConnectionError, struct.error):
    sys.exit(1)  # xenstored is gone
