import { Counter, Gauge, Registry } from 'prom-client';
import type { NodeStatus } from '../../wire/status.js';
import type { Metric } from './metric.js';

/** Of {@link exposition}. */
export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Metrics as Prometheus reads them. */
export function exposition(metrics: readonly Metric[], status: NodeStatus): Promise<string> {
  const registers = [new Registry()] as const;
  for (const { name, type, help, labels, read } of metrics) {
    const samples = read(status);
    if (samples.length === 0) continue;
    const options = { name, help, labelNames: [...labels], registers: [...registers] };
    const write = type === 'gauge' ? setOn(new Gauge(options)) : addTo(new Counter(options));
    for (const [value, ...values] of samples) {
      write(Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ''])), value);
    }
  }
  return registers[0].metrics();
}

type Write = (labels: Record<string, string>, value: number) => void;

const setOn =
  (gauge: Gauge): Write =>
  (labels, value) =>
    gauge.set(labels, value);

const addTo =
  (counter: Counter): Write =>
  (labels, value) =>
    counter.inc(labels, value);
