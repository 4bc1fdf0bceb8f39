import type { NodeStatus } from '../wire/status.js';
import { exposition } from './metrics/exposition.js';
import { GUEST_METRICS } from './metrics/guest-metrics.js';
import type { Metric } from './metrics/metric.js';
import { NODE_METRICS } from './metrics/node-metrics.js';
import { OUTLET_METRICS } from './metrics/outlet-metrics.js';
import { PEER_METRICS } from './metrics/peer-metrics.js';
import { SOURCE_METRICS } from './metrics/source-metrics.js';

export { METRICS_CONTENT_TYPE } from './metrics/exposition.js';

/** Every metric there is, in the order of docs/METRICS.md. */
export const METRICS: readonly Metric[] = [
  ...NODE_METRICS,
  ...SOURCE_METRICS,
  ...OUTLET_METRICS,
  ...PEER_METRICS,
  ...GUEST_METRICS,
];

/**
 * A status as Prometheus reads it: nothing is counted here, so that the two cannot disagree. Label values are words of ours and
 * names of the configuration, never names of clients; no metric holds a byte of entropy.
 */
export const metricsText = (status: NodeStatus): Promise<string> => exposition(METRICS, status);
