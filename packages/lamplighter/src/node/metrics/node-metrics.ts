import { counter, gauge, type Metric, one, secondsOf } from './metric.js';

/** The node as a whole, and its generator. */
export const NODE_METRICS: readonly Metric[] = [
  gauge(
    'node_info',
    'Always 1; the labels say which node and program this is.',
    ['node', 'software'],
    (now) => [[1, now.name, now.software]],
  ),
  gauge('ready', '1 when the node serves, degraded or not.', [], ({ state }) =>
    one(state === 'ready' || state === 'degraded'),
  ),
  gauge('degraded', '1 when the node serves but something is wrong.', [], ({ state }) =>
    one(state === 'degraded'),
  ),
  gauge('faults', 'Parts that complain now, by error code.', ['code'], ({ reasons }) =>
    [...new Set(reasons.map(({ code }) => code))].map((code) => [
      reasons.filter((reason) => reason.code === code).length,
      code,
    ]),
  ),
  gauge('uptime_seconds', 'Seconds since the node started.', [], ({ uptimeMs }) => one(uptimeMs / 1_000)),
  gauge('resident_memory_bytes', 'Resident memory of the process.', [], (now) =>
    one(now.residentMemoryBytes),
  ),
  gauge('basis', '1 for every word that the output rests on.', ['word'], ({ basis }) =>
    ['simulated', 'degraded', 'physical'].map((word) => [Number(basis.includes(word)), word]),
  ),
  gauge('tls_hedge', "1 when this process's TLS draws on the machine seed.", [], ({ hedge }) =>
    one(hedge.state === 'on'),
  ),
  counter('resumes', 'Times this machine was found cloned, restored or asleep.', [], ({ resume }) =>
    one(resume?.count ?? 0),
  ),
  counter('configuration_reloads', 'Configurations followed since the start.', [], ({ configuration }) =>
    one(configuration.reloads),
  ),
  gauge('configuration_stale', '1 when the last configuration could not be followed.', [], (now) =>
    one(now.configuration.reloadError !== undefined),
  ),

  gauge('seeded', '1 once the generator was first seeded.', [], ({ generator }) => one(generator.seeded)),
  counter('reseeds', 'Reseeds of the generator, direct ones included.', [], ({ generator }) =>
    one(generator.reseeds),
  ),
  counter(
    'direct_reseeds',
    'Reseeds that went past the pools: first seeding, resumes, beacons.',
    [],
    ({ generator }) => one(generator.directReseeds),
  ),
  gauge('last_reseed_timestamp_seconds', 'When the generator was last reseeded.', [], ({ generator }) =>
    one(secondsOf(generator.lastReseed)),
  ),
  counter('ticks', 'Ticks of the improved schedule.', [], ({ generator }) => one(generator.tick)),
  gauge('pool_bytes', 'Bytes in a pool since it was last drained.', ['pool'], ({ generator }) =>
    generator.pools.map(({ bytes }, pool) => [bytes, String(pool)]),
  ),
  counter('pool_drains', 'Times a pool was drained.', ['pool'], ({ generator }) =>
    generator.pools.map(({ drains }, pool) => [drains, String(pool)]),
  ),
  gauge(
    'secret_sources',
    'Sources in the output that may hold bits an outsider does not know.',
    [],
    ({ rest }) => one(rest.filter(({ isSecret }) => isSecret).length),
  ),
];
