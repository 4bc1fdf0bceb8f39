import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { outletOf, refusals, sourceOf, statusOf } from '../wire/status.fixture.js';
import type { NodeStatus } from '../wire/status.js';
import { METRICS, metricsText } from './metrics.js';
import { exposition } from './metrics/exposition.js';

const atRoot = (path: string): string =>
  readFileSync(new URL(`../../../../${path}`, import.meta.url), 'utf8');

/** Of a relay with something of everything. */
const EVERYTHING: NodeStatus = statusOf({
  reasons: [
    { code: 'ERR_CAMERA_DARK', message: 'wall: the picture is dark' },
    { code: 'ERR_CAMERA_DARK', message: 'door: the picture is dark' },
  ],
  state: 'degraded',
  basis: ['simulated'],
  generator: {
    schedule: 'improved',
    seeded: true,
    reseeds: 7,
    directReseeds: 2,
    lastReseed: '2026-01-01T00:00:00.500Z',
    pools: [
      { bytes: 34, drains: 5 },
      { bytes: 0, drains: 1 },
    ],
    tick: 12,
  },
  rest: [
    { name: 'os', kind: 'os', reachedAt: '2026-01-01T00:00:00.000Z', isSecret: true },
    { name: 'wall', kind: 'camera', reachedAt: '2026-01-01T00:00:01.000Z', isSecret: false },
  ],
  sources: [
    sourceOf({
      state: 'degraded',
      lastHeard: '2026-01-01T00:00:02.000Z',
      details: {
        picture: 'degraded',
        faults: 'frozen,low-noise',
        frames: 99,
        restarts: 3,
        decoderRestarts: 1,
      },
    }),
    sourceOf({ name: 'tpm', kind: 'tpm', details: { failures: 4, stuckAnswers: 1 } }),
    sourceOf({ name: 'office', kind: 'feed', details: { frames: 5, reconnects: 2 } }),
  ],
  outlets: [
    outletOf({ details: { beacons: 9, refused: 2 } }),
    outletOf({ name: 'feed', kind: 'feed', details: { subscribers: 3, frames: 8, dropped: 1, refused: 0 } }),
    outletOf({ name: 'pollen', kind: 'pollen', details: { answers: 6, overBudget: 5, refused: 1 } }),
    outletOf({ name: 'kernel', kind: 'kernel', state: 'failed', details: { writes: 2, failures: 7 } }),
    outletOf({ name: 'egd', kind: 'egd', details: { connections: 4 } }),
    outletOf({ name: 'xen', kind: 'xenstore', details: { domains: 11 } }),
  ],
  listener: {
    connections: 30,
    handshakes: { done: 500, begun: 1, waiting: 2, silent: 3 },
    queued: 4,
    refused: refusals({ quota: 17 }),
  },
  fleet: {
    certificate: {
      name: 'relay',
      role: 'relay',
      serial: '40AA',
      notAfter: '2026-02-01T00:00:00.000Z',
      renewsAt: '2026-01-20T00:00:00.000Z',
    },
    peers: {
      identities: 12,
      refused: { quota: 17, connections: 0, revoked: 1, identities: 0 },
      top: [
        { role: 'machine', name: 'secret-project', connections: 1, beacons: 2, feedBytes: 3, refused: 4 },
      ],
    },
    policy: { from: 'folder', revokedNames: 2, revokedSerials: 1, quotas: 0 },
    renewals: { renewed: 3, refused: 1 },
    enrolment: { enrolled: 5, refused: { ERR_TOKEN_SPENT: 2 } },
    audit: { file: '/var/log/x.jsonl', records: 9, lost: 1 },
  },
  carriers: [{ name: 'guests', lines: 2, sessions: 3, garbageBytes: 44, refused: 1 }],
  guests: { socket: '/s', told: 2, refused: 1, qmp: [{ guest: 'web-1', following: true, resumes: 6 }] },
});

describe('metrics', async () => {
  const text = await metricsText(EVERYTHING);

  it.each([
    'lamplighter_degraded 1',
    'lamplighter_faults{code="ERR_CAMERA_DARK"} 2',
    'lamplighter_basis{word="simulated"} 1',
    'lamplighter_reseeds_total 7',
    'lamplighter_last_reseed_timestamp_seconds 1767225600.5',
    'lamplighter_pool_bytes{pool="0"} 34',
    'lamplighter_pool_drains_total{pool="1"} 1',
    'lamplighter_secret_sources 1',
    'lamplighter_source_state{source="wall",kind="camera",state="degraded"} 1',
    'lamplighter_source_state{source="wall",kind="camera",state="ok"} 0',
    'lamplighter_source_secret{source="wall",kind="camera"} 0',
    'lamplighter_source_restarts_total{source="office",kind="feed"} 2',
    'lamplighter_source_stuck_answers_total{source="tpm",kind="tpm"} 1',
    'lamplighter_camera_healthy{source="wall"} 0',
    'lamplighter_camera_fault{source="wall",fault="low-noise"} 1',
    'lamplighter_camera_fault{source="wall",fault="dark"} 0',
    'lamplighter_beacons_total{outlet="beacons",kind="beacon"} 9',
    'lamplighter_outlet_refused_total{outlet="pollen",kind="pollen"} 6',
    'lamplighter_outlet_failures_total{outlet="kernel",kind="kernel"} 7',
    'lamplighter_outlet_guests{outlet="xen",kind="xenstore"} 11',
    'lamplighter_listener_pending_handshakes{stage="waiting"} 2',
    'lamplighter_listener_refused_total{reason="quota"} 17',
    'lamplighter_peers_refused_total{why="revoked"} 1',
    'lamplighter_enrolment_refused_total{code="ERR_TOKEN_SPENT"} 2',
    'lamplighter_certificate_expiry_timestamp_seconds 1769904000',
    'lamplighter_carrier_garbage_bytes_total{carrier="guests"} 44',
    'lamplighter_guest_resumes_total{guest="web-1"} 6',
  ])('%s', (line) => {
    expect(text.split('\n')).toContain(line);
  });

  it('all have a value in a status that has everything, under one header each', () => {
    for (const { name, type, help } of METRICS) {
      expect(text.split(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}`)).toHaveLength(2);
    }
  });

  it('say nothing of what a node does not have', async () => {
    const bare = await metricsText(statusOf());
    expect(bare).not.toMatch(/listener|peers|certificate|carrier|guest|camera|NaN|undefined/);
  });

  it('name no client: their number has no bound', () => {
    expect(text).not.toContain('secret-project');
  });

  it('escape what stands in a label', async () => {
    const [info] = METRICS;
    const text = await exposition(info ? [info] : [], statusOf({ name: 'a"b\\c\nd', software: 'x' }));
    const line = text.split('\n')[2];
    expect(line).toBe('lamplighter_node_info{node="a\\"b\\\\c\\nd",software="x"} 1');
  });

  it('follow the conventions of Prometheus', () => {
    const stems = METRICS.map(({ name }) => name.replace(/_(?:total|info)$/, ''));
    expect(new Set(stems).size).toBe(METRICS.length);
    for (const { name, type, help, labels } of METRICS) {
      expect(name).toMatch(/^lamplighter_[a-z]+(?:_[a-z]+)*$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(name).not.toMatch(/_(?:ms|milliseconds|minutes|hours|kib|mib|count)(?:_|$)/);
      expect(help).toMatch(/^[A-Z1].*\.$/);
      for (const label of labels) expect(label).toMatch(/^[a-z]+$/);
    }
  });
});

describe('docs/METRICS.md', () => {
  const ROW = /^\| `(lamplighter_\w+)` \| (gauge|counter) \| (.*?) ?\| (.+?) \| (.+?) \|$/;

  it('says of every metric, in order, what the code exports, and what to do about it', () => {
    const rows = atRoot('docs/METRICS.md')
      .split('\n')
      .filter((line) => line.includes('| `lamplighter_'));
    const documented = rows.map((row) => {
      const [, name, type, labels = '', help] = ROW.exec(row) ?? [];
      return { name, type, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label), help };
    });
    expect(documented).toEqual(
      METRICS.map(({ name, type, labels, help }) => ({ name, type, labels: [...labels], help })),
    );
  });
});

/** Labels that Prometheus adds by itself. */
const OWN_LABELS = ['instance', 'job', 'severity', 'alertname'];

/** What is wrong with the metrics and labels that a PromQL expression names. */
function faultsIn(expr: string, legend = ''): string[] {
  const named = [...expr.matchAll(/\b(lamplighter_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name = '', matchers = '']) => ({
      name,
      metric: METRICS.find((metric) => metric.name === name),
      used: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
    }),
  );
  const known = [...OWN_LABELS, ...named.flatMap(({ metric }) => metric?.labels ?? [])];
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/));
  const shown = [...legend.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)].map(([, label = '']) => label);
  return [
    ...named.filter(({ metric }) => metric === undefined).map(({ name }) => `there is no ${name}`),
    ...named.flatMap(({ name, metric, used }) =>
      used
        .filter((label) => ![...OWN_LABELS, ...(metric?.labels ?? [])].includes(label))
        .map((label) => `${name} has no ${label}`),
    ),
    ...[...grouped, ...shown].filter((label) => !known.includes(label)).map((label) => `${label}: ${expr}`),
  ];
}

describe('what is built on the metrics', () => {
  it('is checked by something that can fail', () => {
    expect(faultsIn('rate(lamplighter_beacon_total[5m])')).toEqual(['there is no lamplighter_beacon_total']);
    expect(faultsIn('lamplighter_source_up{outlet="x"}')).toEqual(['lamplighter_source_up has no outlet']);
    expect(faultsIn('sum by (pool) (lamplighter_ready)', '{{word}}')).toHaveLength(2);
    expect(faultsIn('sum by (instance) (lamplighter_pool_bytes{pool="0"})', '{{pool}}')).toEqual([]);
  });

  it('the Grafana dashboard asks only for what there is', () => {
    const target = z.object({ expr: z.string().min(1), legendFormat: z.string() });
    const panel = z.object({ type: z.string(), title: z.string(), targets: z.array(target).optional() });
    const board = z
      .object({
        panels: z.array(panel),
        annotations: z.object({ list: z.array(z.object({ expr: z.string() })) }),
        templating: z.object({ list: z.array(z.object({ query: z.unknown() })) }),
      })
      .parse(JSON.parse(atRoot('deploy/grafana/lamplighter.json')));
    const panels = board.panels.filter(({ type }) => type !== 'row');
    expect(panels.length).toBeGreaterThan(20);
    for (const { title, targets = [] } of panels) {
      expect(targets, title).not.toHaveLength(0);
      for (const { expr, legendFormat } of targets) expect(faultsIn(expr, legendFormat), title).toEqual([]);
    }
    for (const { expr } of board.annotations.list) expect(faultsIn(expr)).toEqual([]);
    expect(faultsIn(JSON.stringify(board.templating.list))).toEqual([]);
  });

  const rule = z.object({
    alert: z.string(),
    expr: z.string(),
    labels: z.object({ severity: z.enum(['critical', 'warning', 'info']) }),
    annotations: z.object({ summary: z.string(), action: z.string() }),
  });
  const rules = z
    .object({ groups: z.array(z.object({ rules: z.array(rule) })) })
    .parse(parse(atRoot('deploy/prometheus/alerts.yml')))
    .groups.flatMap((group) => group.rules);

  it('the alerts ask only for what there is', () => {
    for (const { alert, expr, annotations } of rules) {
      expect(faultsIn(expr, annotations.summary + annotations.action), alert).toEqual([]);
    }
  });

  it('every alert is raised in one test, and is silent in that of a healthy node', () => {
    const { tests } = z
      .object({
        tests: z.array(
          z.object({
            alert_rule_test: z.array(z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) })),
          }),
        ),
      })
      .parse(parse(atRoot('deploy/prometheus/alerts.test.yml')));
    const expected = tests.flatMap(({ alert_rule_test: all }) => all);
    for (const { alert } of rules) {
      const of = expected
        .filter(({ alertname }) => alertname === alert)
        .map(({ exp_alerts: { length } }) => length);
      expect(of, alert).toEqual([1, 0]);
    }
  });
});
