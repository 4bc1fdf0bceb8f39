// The image's health check: whether the node in this container is alive. It says so also while a required source is waited for, because to
// be started again would not bring that source: whether it serves is what /readyz says. Where `admin` listens elsewhere, set LAMPLIGHTER_ADMIN.
const { LAMPLIGHTER_ADMIN: admin = 'http://127.0.0.1:9600' } = process.env;
const { ok } = await fetch(new URL('/healthz', admin), { signal: AbortSignal.timeout(5_000) });
process.exitCode = ok ? 0 : 1;
